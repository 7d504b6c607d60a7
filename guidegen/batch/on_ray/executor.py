"""Draws a list on Ray: one worker a GPU, or for some CPU cores, each with its models loaded once.

A plain loop hands small tasks to whoever is idle. A worker that dies is replaced, and its jobs are
tried again one by one; a finished run is found by its digest, so nothing is drawn twice.
Run directories lie in the batch folder, which all machines must see under the same path.
"""

import logging
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from guidegen.batch.on_ray.cluster import Cluster, connected
from guidegen.batch.on_ray.pool import WorkerPool
from guidegen.batch.on_ray.worker import INTERRUPTED, STOP_FILE
from guidegen.batch.prompt_list import Job
from guidegen.batch.tasks import Outcome, Task
from guidegen.errors import OutputError
from guidegen.utils.stop import Stop

log = logging.getLogger(__name__)

# Jobs in one task: few, so that a lost worker loses little.
_WIDTH = 4
# How often a job is tried whose worker died each time.
_TRIES = 3
# Seconds between two looks at the stop.
_TICK = 0.5


class Ray:
    """An `Executor` that draws on Ray's workers.

    Args:
        address: "auto" or HOST:PORT of a cluster; None starts one on this machine.
        workers: how many; None for one a GPU, or where there is none for all cores.
        cores_per_worker: CPU cores of each, which are its threads too; None is one, and with GPUs
            whatever Ray gives.
    """

    width = _WIDTH

    def __init__(
        self,
        *,
        address: str | None = None,
        workers: int | None = None,
        cores_per_worker: int | None = None,
    ) -> None:
        self.cluster = Cluster(address, workers, cores_per_worker)

    def run(
        self, waiting: Iterator[Task], stop: Stop, watch: object = None
    ) -> Generator[Outcome, None, None]:
        """See `guidegen.batch.run.Executor`.

        Raises:
            GuidegenError: the cluster can't be reached, or no worker comes up.
        """
        with connected(self.cluster) as ray:
            pool = WorkerPool(ray, workers=self.cluster.workers, cores=self.cluster.cores)
            try:
                yield from _Driver(ray, pool, map(_absolute, waiting), stop).outcomes()
            finally:
                pool.close()


def _absolute(task: Task) -> Task:
    """The same folder, wherever a worker stands."""

    def moved(job: Job) -> Job:
        out = job.config.out.absolute()
        return replace(job, config=job.config.model_copy(update={"out": out}))

    return replace(task, jobs=[moved(job) for job in task.jobs])


class _Driver:
    """Hands tasks to idle workers until all are done, or until the list is to stop.

    While it drains, no task is handed out and the workers are told to save theirs; what was drawn
    until then is still yielded. Outcomes come in the order in which workers are done.

    Args:
        ray: the module.
        pool: the workers.
        waiting: tasks, read as workers are idle.
        stop: set by the caller.
    """

    def __init__(self, ray: Any, pool: WorkerPool, waiting: Iterator[Task], stop: Stop) -> None:
        self.ray, self.pool, self.waiting, self.stop = ray, pool, waiting, stop
        self.again: deque[Task] = deque()
        self.exhausted = False
        self.trouble = ""  # why nothing can be written any more
        self._stop_file: Path | None = None
        self._begun = False
        self._patience = time.monotonic() + 30

    def outcomes(self) -> Generator[Outcome, None, None]:
        """Draw all tasks.

        Raises:
            OutputError: nothing can be written any more.
            GuidegenError: no worker comes up.
        """
        try:
            while True:
                if self._draining:
                    self._tell_workers()
                else:
                    self.pool.grow()
                    self._hand_out()
                if not self.pool.busy and (self._draining or (self.exhausted and not self.again)):
                    break
                yield from self._wait()
        finally:
            if self._stop_file is not None:
                with suppress(OSError):
                    self._stop_file.unlink(missing_ok=True)
        if self.trouble:
            raise OutputError(self.trouble)

    @property
    def _draining(self) -> bool:
        return bool(self.stop or self.trouble)

    def _hand_out(self) -> None:
        """Give every idle worker a task; those that failed with a lost worker come first."""
        while self.pool.idle:
            task = self.again.popleft() if self.again else next(self.waiting, None)
            if task is None:
                self.exhausted = True
                return
            if not self._begun:  # of a driver that was killed while it stopped
                (task.jobs[0].config.out / STOP_FILE).unlink(missing_ok=True)
                self._begun = True
            worker = self.pool.idle.pop()
            self.pool.busy[worker.draw.remote(task)] = (worker, task)

    def _wait(self) -> Iterator[Outcome]:
        """Take what the next workers to be done bring, or wait a moment for it."""
        refs = [*self.pool.busy, *self.pool.coming]
        if not refs:
            self.pool.hurry()
            return
        ready, _ = self.ray.wait(refs, num_returns=1, timeout=_TICK)
        if not self.pool.busy and not self.pool.idle and time.monotonic() > self._patience:
            self._patience = time.monotonic() + 60
            log.warning("waiting for the cluster to have room for a worker")
        for ref in ready:
            if ref in self.pool.coming:
                self.pool.arrived(ref)
            else:
                yield from self._done(ref)

    def _done(self, ref: Any) -> Iterator[Outcome]:
        """A worker is done with its task, or was lost with it."""
        worker, task = self.pool.busy.pop(ref)
        try:
            outcomes, warnings, why = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            with suppress(Exception):
                self.ray.kill(worker)
            self.pool.hurry()
            yield from _lost(self.again, task, error)
            return
        self.pool.idle.append(worker)
        for line in warnings:
            log.warning("%s", line)
        if why == INTERRUPTED:
            if not self._draining:  # somebody else put the stop file there
                done = {outcome.job.number for outcome in outcomes}
                left = [job for job in task.jobs if job.number not in done]
                self.again.append(replace(task, jobs=left))
        elif why:
            self.trouble = self.trouble or why
        yield from outcomes

    def _tell_workers(self) -> None:
        """Over the shared folder, since workers take no other call while they draw."""
        if self._stop_file is not None or not self.pool.busy:
            return
        (_, task), *_ = self.pool.busy.values()
        self._stop_file = task.jobs[0].config.out / STOP_FILE
        with suppress(OSError):
            self._stop_file.touch()


def _lost(again: "deque[Task]", task: Task, error: Exception) -> Iterator[Outcome]:
    """A worker died with its task: its jobs are tried again one by one, but not for ever."""
    attempt = task.attempt + 1
    # a job that was with others is not the one to blame yet
    if len(task.jobs) > 1 or attempt < _TRIES:
        log.info("a worker was lost with %d jobs; again", len(task.jobs))
        again.extend(Task([job], attempt, task.force) for job in task.jobs)
        return
    why = " ".join(str(error).split())
    for job in task.jobs:
        yield Outcome(job, f"its worker died, {attempt} times in a row ({why[:160]})")

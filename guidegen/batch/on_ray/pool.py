"""The workers that a driver has on a Ray cluster."""

import time
from contextlib import suppress
from typing import Any

from guidegen.batch.on_ray.resources import Share, surroundings
from guidegen.batch.on_ray.worker import Worker
from guidegen.batch.tasks import Task
from guidegen.errors import GuidegenError

# How often a worker may fail to come up before there is no hope.
_TRIES = 3
# Seconds between two looks at the cluster's size.
_GROW_EVERY = 5.0


class WorkerPool:
    """The workers: those that come up, are idle, or draw.

    Args:
        ray: the module.
        workers: how many; None for as many as the cluster has room for.
        cores: CPU cores of each; None is one, and with GPUs whatever Ray gives.

    Attributes:
        coming: what tells that it is ready -> worker.
        idle: workers that wait for a task.
        busy: what brings its outcomes -> (worker, task).
    """

    def __init__(self, ray: Any, *, workers: int | None, cores: int | None) -> None:
        self.ray = ray
        self.workers = workers
        self._share = Share.of(ray, cores)
        self._given = (self._share.threads, *surroundings())
        self.coming: dict[Any, Any] = {}
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, Task]] = {}
        self.stillborn = 0
        self._grown = 0.0

    def grow(self) -> None:
        """Ask for as many workers as there should be; the cluster may have grown or shrunk."""
        now = time.monotonic()
        if self._grown and now - self._grown < _GROW_EVERY:
            return
        self._grown = now
        wanted = self.workers or self._share.room()
        actor = self.ray.remote(**self._share.options, max_restarts=0)(Worker)
        while len(self.coming) + len(self.idle) + len(self.busy) < wanted:
            worker = actor.remote(*self._given)
            self.coming[worker.ready.remote()] = worker

    def arrived(self, ref: Any) -> None:
        """A worker came up, or could not.

        Raises:
            GuidegenError: three in a row could not, and there is no other.
        """
        worker = self.coming.pop(ref)
        try:
            self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            self.stillborn += 1
            self.hurry()
            if self.stillborn >= _TRIES and not self.busy and not self.idle:
                why = " ".join(str(error).split())
                raise GuidegenError(f"no worker comes up: {why[-300:]}") from None
        else:
            self.stillborn = 0
            self.idle.append(worker)

    def hurry(self) -> None:
        """Replace a lost worker at once."""
        self._grown = 0.0

    def close(self) -> None:
        """End the workers; those that draw are ended too."""
        for worker in [*self.coming.values(), *self.idle, *(w for w, _ in self.busy.values())]:
            with suppress(Exception):
                self.ray.kill(worker)

"""A prompt list becomes a folder of pictures with a gallery: on this machine, or on many.

What was done is known by the finished run directories (found by the engine, by digest) and by
`results.jsonl`; so the same command goes on after a kill and does nothing twice.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from guidegen.batch.gallery import THUMBNAILS, Gallery
from guidegen.batch.prompt_list import Job, PromptList
from guidegen.batch.results import FAILED, FINISHED, Result, ResultLog
from guidegen.batch.tasks import Outcome, Task, draw, tasks
from guidegen.config import RunConfig
from guidegen.engine.build import WIDTH
from guidegen.recorders import StepCallback
from guidegen.runs.store import IMAGE, VIDEO, check_writable
from guidegen.utils.locks import locked
from guidegen.utils.stop import Stop

log = logging.getLogger(__name__)

# Seconds between two versions of the gallery while the list is being drawn.
_GALLERY_EVERY = 10.0

Outcomes = Generator[Outcome, None, None]
# Called as (jobs that advance, step, steps).
Watch = Callable[[int, int, int], None]


class Executor(Protocol):
    """Draws tasks somewhere."""

    width: int

    def run(self, waiting: Iterator[Task], stop: Stop, watch: Watch | None) -> Outcomes:
        """Draw all tasks; yields outcomes in any order.

        Args:
            waiting: read as there is room.
            stop: once it is set, what is at hand is saved and no new task begun.
            watch: told how far a task is, where that is known.

        Raises:
            OutputError: nothing can be written any more.
        """


class Local:
    """Draws in this process, one batch after another; models are loaded once."""

    width = WIDTH

    def run(self, waiting: Iterator[Task], stop: Stop, watch: Watch | None) -> Outcomes:
        """See `Executor`."""

        def recorders(configs: Sequence[RunConfig]) -> list[StepCallback]:
            if watch is None:
                return []
            return [lambda step: watch(len(configs), step.index, step.total)]

        for task in waiting:
            if stop:
                return
            with closing(draw(task, stop, recorders)) as outcomes:
                yield from outcomes


def run_list(
    jobs: PromptList,
    folder: Path,
    executor: Executor,
    *,
    force: bool = False,
    retry_failed: bool = False,
    stop: Stop | None = None,
    watch: Watch | None = None,
) -> Generator[Result, None, None]:
    """Draw a list into a folder; yields what becomes of each job.

    Args:
        jobs: the list, checked; its `settings` name `folder` as `out`.
        folder: for run directories, results and the gallery.
        executor: draws.
        force: draw again what is finished, and what failed.
        retry_failed: draw only what failed in an earlier call; else that is only told again.
        stop: once it is set the list ends early; the same call goes on.
        watch: told how far the jobs at hand are.

    Raises:
        OutputError: the folder can't be written, or another process draws into it.
    """
    check_writable(folder)
    stop = Stop() if stop is None else stop
    with ExitStack() as stack:
        stack.enter_context(locked(folder, "this list"))
        _sweep(folder)
        results = ResultLog(folder, jobs)
        stack.callback(results.close)
        gallery = Gallery(folder, jobs.path.name, results, jobs.total)
        shown = time.monotonic()
        try:
            told: list[Result] = []
            chosen = _choose(jobs, results, told, force=force, retry_failed=retry_failed)
            waiting = tasks(chosen, width=executor.width, force=force)
            outcomes = stack.enter_context(closing(executor.run(waiting, stop, watch)))
            for outcome in outcomes:
                result = _result(folder, gallery, outcome)
                if not _known(results, result):
                    results.add(result)
                gallery.changed(result.job)
                if time.monotonic() - shown > _GALLERY_EVERY:
                    gallery.write(running=True)
                    shown = time.monotonic()
                yield result
                yield from _drain(told)
            yield from _drain(told)
        except GeneratorExit:
            raise
        except BaseException:
            _finish(gallery, results, whole=False)
            raise
        _finish(gallery, results, whole=not stop)


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed within a write left behind."""
    for orphan in [*folder.glob(".*.tmp"), *folder.glob(f"{THUMBNAILS}/.*.tmp")]:
        with suppress(OSError):
            orphan.unlink()


def _choose(
    jobs: PromptList, results: ResultLog, told: list[Result], *, force: bool, retry_failed: bool
) -> Iterator[Job]:
    """The jobs to draw; those that failed earlier go into `told` instead."""
    for job in jobs.jobs():
        failed = results.status(job.number) == FAILED
        if force or retry_failed == failed:
            yield job
        elif failed:
            earlier = results.read(job.number)
            assert earlier is not None
            told.append(replace(earlier, line=job.line, reused=True))


def _drain(told: list[Result]) -> Generator[Result, None, None]:
    while told:
        yield told.pop(0)


def _result(folder: Path, gallery: Gallery, outcome: Outcome) -> Result:
    job = outcome.job
    if outcome.error:
        return Result.of(job, status=FAILED, error=outcome.error, worker=outcome.worker)
    image = folder / outcome.run / IMAGE
    video = image.with_name(VIDEO)
    return Result.of(
        job,
        status=FINISHED,
        run=outcome.run,
        image=f"{outcome.run}/{IMAGE}",
        video=f"{outcome.run}/{video.name}" if video.is_file() else "",
        thumbnail=gallery.thumbnail(image, new=not outcome.reused),
        scores=outcome.scores,
        seconds=outcome.seconds,
        worker=outcome.worker,
        reused=outcome.reused,
    )


def _known(results: ResultLog, result: Result) -> bool:
    """Whether the very same is written down already, so that a rerun does not grow the file."""
    if not result.reused:
        return False
    earlier = results.read(result.job)
    return earlier is not None and replace(earlier, worker="") == replace(
        result, worker="", reused=False
    )


def _finish(gallery: Gallery, results: ResultLog, *, whole: bool) -> None:
    """Bring the page and the tables up to date; after a failure as far as that is possible."""
    try:
        gallery.write(running=False)
        if whole:
            gallery.contact_sheets()
        results.rewrite()
    except OSError:
        if whole:
            raise
        log.info("the gallery could not be written", exc_info=True)

"""Some jobs of a list, drawn together; each that fails harms only itself.

The same code draws on one machine and in a worker of a cluster.
"""

import errno
import logging
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch

from guidegen.batch.prompt_list import Job
from guidegen.config import PictureConfig, RunConfig
from guidegen.engine.generate import generate as make_pictures
from guidegen.engine.resolve import batch_key, resolve
from guidegen.engine.stream import Recorders
from guidegen.errors import GuidegenError, OutputError, RunInterruptedError
from guidegen.guidance.budget import is_out_of_memory
from guidegen.utils.failpoints import failpoint
from guidegen.utils.stop import Stop

log = logging.getLogger(__name__)

# Jobs read ahead to find those that can be drawn together.
_WINDOW = 64
# No job can do anything about these: the whole list stops, and goes on when there is room.
_NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
)


@dataclass
class Task:
    """Jobs that can advance together.

    Attributes:
        jobs: with different pictures, all of one batch key.
        attempt: how often they were tried before.
        force: draw although identical runs are finished.
    """

    jobs: Sequence[Job]
    attempt: int = 0
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        error: why it failed, one line; "" when it is finished.
        run: name of its run directory.
        scores: name -> figure.
        seconds: how long it took.
        reused: a finished run was found.
        worker: where it was drawn; "" for this process.
    """

    job: Job
    error: str = ""
    run: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    reused: bool = False
    worker: str = ""


def tasks(jobs: Iterator[Job], *, width: int, force: bool) -> Iterator[Task]:
    """Bring together what can advance together, a window of jobs at a time.

    Args:
        jobs: read as they are needed.
        width: most jobs in a task.
        force: handed on.
    """
    while window := list(islice(jobs, _WINDOW)):
        groups: dict[str, list[Job]] = {}
        for job in window:
            groups.setdefault(_together(job), []).append(job)
        for group in groups.values():
            for start in range(0, len(group), width):
                yield Task(group[start : start + width], force=force)


def _together(job: Job) -> str:
    try:
        # the device may be there on another machine only
        here = job.config.model_copy(update={"device": "cpu"})
        return f"{job.config.device} {batch_key(resolve(here))}"
    except GuidegenError:  # it will say so when it is drawn, alone
        return f"job {job.number}"


def draw(
    task: Task, stop: Stop, recorders: Recorders | None = None
) -> Generator[Outcome, None, None]:
    """Draw the pictures of a task; yields each as soon as it is finished or has failed.

    Once `stop` is set the pictures at hand are saved, and no outcome tells of them. When several
    are drawn together and something fails, those that are not finished are tried again: in halves
    where memory ran out, else one by one.

    Raises:
        OutputError: nothing can be written any more.
    """
    waiting = deque([task])
    while waiting and not stop:
        part = waiting.popleft()
        left = {_own(job.config): job for job in part.jobs}
        try:
            for job in part.jobs:
                failpoint("job", f"{job.config.prompt}#{part.attempt}")
            configs = [job.config for job in part.jobs]
            pictures = make_pictures(configs, stop=stop, recorders=recorders, force=part.force)
            for picture in pictures:
                if picture.status != "finished":
                    continue
                job = left.pop(_own(picture.config))
                assert picture.run is not None
                yield Outcome(
                    job, "", picture.run.path.name, picture.scores, picture.run.seconds,
                    picture.reused,
                )  # fmt: skip
        except RunInterruptedError:
            raise
        except Exception as error:
            if _hopeless(error):
                raise OutputError(str(error)) from error
            failed = list(left.values())
            if len(part.jobs) == 1 or not failed:
                yield from (Outcome(job, _line(error)) for job in failed)
                continue
            size = 1
            if isinstance(error, MemoryError) or is_out_of_memory(error):
                _free()
                size = max(1, len(part.jobs) // 2)
            log.info("%d jobs again, %d at a time: %s", len(failed), size, _line(error))
            waiting.extendleft(
                Task(failed[start : start + size], part.attempt + 1, part.force)
                for start in reversed(range(0, len(failed), size))
            )


def _own(config: RunConfig) -> tuple[object, ...]:
    """Tells the jobs of one task apart, whose other settings are the same."""
    return tuple(getattr(config, name) for name in PictureConfig.model_fields)


def _hopeless(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        error = error.__cause__ or error.__context__
    return False


def _free() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, GuidegenError) else f"{type(error).__name__}: {text}"

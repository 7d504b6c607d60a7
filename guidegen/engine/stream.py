"""A run as an iterator of its steps, which can be watched, stopped and gone on with."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType

from guidegen.config import ResolvedConfig, RunConfig
from guidegen.engine.batch import Batch, Event
from guidegen.engine.build import WIDTH
from guidegen.engine.models import Session, open_session
from guidegen.engine.picture import Picture, PictureTask, digest_of, reuse
from guidegen.engine.resolve import batch_key, check, resolve
from guidegen.engine.stream_step import StreamStep
from guidegen.errors import about
from guidegen.recorders import StepCallback
from guidegen.runs.store import check_writable
from guidegen.utils.stop import Stop

# Makes the recorders of one batch from its configs.
Recorders = Callable[[Sequence[ResolvedConfig]], Sequence[StepCallback]]


@dataclass(frozen=True)
class _Call:
    """What a call asks for.

    Its events must not refer to their `Stream`: one that nobody holds any more is closed at once
    only if nothing refers back to it.
    """

    stop: Stop
    recorders: Recorders | None
    write: bool
    force: bool

    def events(self, configs: Sequence[ResolvedConfig]) -> Generator[Event, None, None]:
        """Steps and pictures of resolved configs."""
        groups: dict[str, list[PictureTask]] = {}
        for index, config in enumerate(configs):
            task = PictureTask(index, len(configs), config, force=self.force)
            groups.setdefault(batch_key(config), []).append(task)
        for group in groups.values():
            if self.stop:
                return
            session = open_session(group[0].config)
            waiting = iter(group)
            while chunk := list(islice(waiting, WIDTH)):
                yield from self._together(session, chunk)

    def _together(
        self, session: Session, tasks: Sequence[PictureTask]
    ) -> Generator[Event, None, None]:
        """Pictures that can advance together, but for those that are finished or further on."""
        by_step: dict[tuple[object, ...], list[PictureTask]] = {}
        for task in tasks:
            if self.write:
                task = replace(task, digest=digest_of(task.config, session))
                if not self.force:
                    found = task.finished()
                    if found is not None:
                        yield reuse(found, task)
                        continue
                    task = replace(task, state=task.stopped())
            by_step.setdefault(task.begun_as(), []).append(task)
        for batch in by_step.values():
            if self.stop:
                return
            recorders = self.recorders([task.config for task in batch]) if self.recorders else []
            own = batch[0].session(session)
            yield from Batch(own, batch, self.stop, recorders, write=self.write).events()


class Stream(Iterator[StreamStep]):
    """Makes pictures, step by step.

        with Stream(configs) as stream:
            for step in stream:
                show(step.preview(128), step.loss)
        stream.pictures

    A run that is stopped, or left before its end, saves its state and keeps the best picture so
    far; the same call goes on from there, to the same pixels as if it had never been stopped. That
    is also how a run is paused.

    Args:
        configs: one per picture. Those that differ only in prompt, negative prompts and seed
            advance together, and models are loaded once.
        stop: looked at after every step; None makes one of its own.
        recorders: makes the recorders of one batch from its configs.
        write: write run directories and pictures.
        force: make a picture again although an identical run is finished.

    Attributes:
        pictures: finished and interrupted ones so far.

    Raises:
        GuidegenError: what can be refused before any work.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        *,
        stop: Stop | None = None,
        recorders: Recorders | None = None,
        write: bool = True,
        force: bool = False,
    ) -> None:
        check(configs)
        if write:
            with about("out"):
                for out in sorted({config.out for config in configs}):
                    check_writable(out)
        self.pictures: list[Picture] = []
        self._stop = Stop() if stop is None else stop
        call = _Call(self._stop, recorders, write, force)
        self._events = call.events([resolve(config) for config in configs])

    def __next__(self) -> StreamStep:
        for event in self._events:
            if isinstance(event, StreamStep):
                return event
            self.pictures.append(event)
        raise StopIteration

    @property
    def picture(self) -> Picture | None:
        """The last picture so far; None before there is one."""
        return self.pictures[-1] if self.pictures else None

    def stop(self, reason: str = "stopped") -> None:
        """Stop after the step at hand; may be called from any thread."""
        self._stop.set(reason)

    @property
    def stopped(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self._stop)

    def close(self) -> None:
        """Leave the run: what is unfinished is saved, as after a stop."""
        self._events.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def events(self) -> Generator[Event, None, None]:
        """Steps, and pictures as soon as each is there; they do not pile up in `pictures`."""
        with closing(self._events) as events:
            yield from events

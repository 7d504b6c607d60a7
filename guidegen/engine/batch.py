"""Candidates that advance together: from their run directories to their pictures."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from signal import SIGINT
from typing import TypeAlias

from guidegen.engine.build import make_candidate, make_guidance, make_steps
from guidegen.engine.models import Session
from guidegen.engine.picture import (
    Ending,
    Picture,
    PictureTask,
    render,
    write_drawing,
    write_picture,
)
from guidegen.engine.resolve import device_name
from guidegen.engine.stream_step import StreamStep
from guidegen.errors import RunInterruptedError
from guidegen.interfaces import LoopState, Step
from guidegen.recorders import BestEffort, Recording, StepCallback
from guidegen.recorders.jsonl import Jsonl
from guidegen.recorders.preview import Preview
from guidegen.recorders.trajectory import Trajectory
from guidegen.runs import metadata
from guidegen.runs.snapshots import join_states, remove_states, write_state
from guidegen.runs.store import JUDGED, MINUTES, UNTIL_LOSS, Run, RunStore
from guidegen.utils.failpoints import failpoint
from guidegen.utils.files import replacing
from guidegen.utils.locks import locked
from guidegen.utils.stop import Stop

Event: TypeAlias = StreamStep | Picture


class Member:
    """One candidate of a batch with its run directory and what records into it.

    Args:
        session: loaded models.
        task: the picture to make.
        row: its number in the batch.
        stack: takes the lock of the run directory.
        write: False writes nothing.
    """

    def __init__(
        self, session: Session, task: PictureTask, row: int, stack: ExitStack, *, write: bool
    ) -> None:
        self.session, self.task, self.row = session, task, row
        self.run = _open_run(stack, task, session) if write else None
        self.savers: list[Jsonl | Trajectory] = []
        recorders: list[StepCallback] = []
        if self.run is not None:
            start = task.state.index if task.state else 0
            if task.state is None:
                remove_states(self.run.path)
            folder = self.run.path
            self.savers = [Jsonl(folder / "steps.jsonl", row=row, resume_at=start)]
            if most := task.config.trajectory * 2**20:
                self.savers.append(
                    Trajectory(folder, self.run.write, row=row, max_bytes=most, resume_at=start)
                )
            if task.config.video:
                recorders.append(_video(self.run, row, start))
            if task.config.preview:
                recorders.append(BestEffort(Preview(folder, row=row)))
        self.recording = Recording([*recorders, *self.savers])

    def save(self, state: LoopState) -> None:
        """Make what was done so far last; the state comes last, since it vouches for the rest."""
        if self.run is None:
            return
        for saver in self.savers:
            saver.save()
        device = device_name(self.task.config.device)
        write_state(self.run.path, self.run.write, state, self.row, device=device)

    def fail(self, error: BaseException) -> None:
        """Note in the run why it failed."""
        if self.run is not None and self.run.status == "running":
            self.run.fail(error)


class Batch:
    """Advances candidates together, all at the same step.

    Args:
        session: loaded models.
        tasks: their configs differ only in what each candidate has of its own.
        stop: looked at after every step.
        recorders: watch all of them.
        write: write run directories and pictures.
    """

    def __init__(
        self,
        session: Session,
        tasks: Sequence[PictureTask],
        stop: Stop,
        recorders: Sequence[StepCallback],
        *,
        write: bool,
    ) -> None:
        self.session, self.tasks, self.stop = session, tasks, stop
        self.recorders, self.write = recorders, write
        self.settings = tasks[0].config.settings
        away = self.settings.negative_weight
        candidates = [make_candidate(t.config.picture, negative_weight=away) for t in tasks]
        self.guidance = make_guidance(session, self.settings, candidates)
        self.resume = _joined([task.state for task in tasks], self.settings.device)
        self.last: Step | None = None
        self.ending: Ending | None = None
        self._unfinished: list[Member] = []

    def events(self) -> Generator[Event, None, None]:
        """Every step of every candidate, then the pictures.

        A consumer that leaves before the end has what is unfinished saved, as after a stop.

        Raises:
            RunInterruptedError: after a KeyboardInterrupt, which can land anywhere; the pictures so
                far are kept.
        """
        with ExitStack() as locks:
            for row, task in enumerate(self.tasks):
                member = Member(self.session, task, row, locks, write=self.write)
                self._unfinished.append(member)
            try:
                yield from self._advance()
                yield from self._pictures()
            except GeneratorExit:
                self._left()
                raise
            except KeyboardInterrupt:
                self.ending = Ending("interrupted", "Ctrl-C")
                kept = len(list(self._pictures()))
                raise RunInterruptedError.by(SIGINT, kept) from None
            except BaseException as error:
                for member in self._unfinished:
                    member.fail(error)
                raise

    def _advance(self) -> Generator[Event, None, None]:
        """All steps, up to the last or to where the run is to end.

        Pictures come only of candidates whose loss has come low enough before that.
        """
        begun = self.resume.index if self.resume else 0
        steps = make_steps(self.session, self.guidance, self.settings, self.resume)
        self._deadline = time.monotonic() + 60 * (self.settings.minutes or math.inf)
        # left in reverse: the loop first, then the recorders, whose files are whole afterwards
        with ExitStack() as stack:
            watched = stack.enter_context(Recording(self.recorders))
            for member in self._unfinished:
                stack.enter_context(member.recording)
            for step in stack.enter_context(closing(steps)):
                self.last = step
                answer = watched(step)
                for member in self._unfinished:
                    member.recording(step)
                failpoint("step", str(step.index))
                for member in list(self._unfinished):
                    yield self._seen(member, step)
                yield from self._low_enough(step)
                yield from self._judged(step)
                self.ending = self._ending(step, answer)
                due = step.index % self.settings.save_every == 0 and begun < step.index < step.total
                if self.write and (due or self.ending):
                    self._save()
                if self.ending or not self._unfinished:
                    break

    def _seen(self, member: Member, step: Step) -> StreamStep:
        folder = member.run.path if member.run else None
        task = member.task
        return StreamStep(
            task.index, step.index, step.total, task.config, folder, step, self.guidance, member.row
        )

    def _ending(self, step: Step, answer: str) -> Ending | None:
        """Whether the run is to end before its last step."""
        if step.index == step.total:
            return None
        if self.stop:
            return Ending("interrupted", self.stop.reason)
        if time.monotonic() >= self._deadline:
            return Ending("finished", MINUTES)
        return Ending("finished", answer) if answer else None

    def _low_enough(self, step: Step) -> Iterator[Picture]:
        """Finish the candidates whose loss is as low as was asked for; waits for the device.

        Each by itself, since its picture must not depend on who else is in the batch.
        """
        if self.settings.until_loss is None or step.index == step.total:
            return
        losses = step.losses["total"].tolist()
        for member in list(self._unfinished):
            if losses[member.row] <= self.settings.until_loss:
                member.recording.close()
                yield self._finish(member, step, Ending("finished", UNTIL_LOSS, goes_on=False))

    def _judged(self, step: Step) -> Iterator[Picture]:
        """Finish the candidates that the judge has long seen better, at what it liked best."""
        if self.settings.patience is None or step.judged is None or step.index == step.total:
            return
        worse = step.judged.worse.tolist()
        for member in list(self._unfinished):
            if worse[member.row] >= self.settings.patience:
                member.recording.close()
                best = replace(step, latents=step.judged.latents)
                yield self._finish(member, best, Ending("finished", JUDGED, goes_on=False))

    def _save(self) -> None:
        assert self.last is not None
        assert self.last.snapshot is not None
        state = self.last.snapshot()
        for member in self._unfinished:
            member.save(state)

    def _left(self) -> None:
        """The consumer does not want the rest: save it."""
        if self.last is None:
            return
        if self.ending is None and self.last.index < self.last.total:
            self.ending = Ending("interrupted", "left")
            self._save()
        for _ in self._pictures():
            pass

    def _pictures(self) -> Iterator[Picture]:
        """Write the pictures that are not there yet: those of the last step, or the best so far."""
        if self.last is None:
            return
        step = self.last
        if self.ending is not None:
            step = _best_so_far(step)
        for member in list(self._unfinished):
            yield self._finish(member, step, self.ending)

    def _finish(self, member: Member, step: Step, ending: Ending | None) -> Picture:
        """Write one picture."""
        budget = self.guidance.evaluator.budget
        if member.run is not None and budget.views != self.settings.cutout_batch:
            note = f"out of memory: {budget.views} cutouts at a time"
            member.run.notes.append(note)
        image, scores = render(self.guidance, step, member.row)
        picture = write_picture(
            self.session, member.run, member.task, image, scores, step=step, ending=ending
        )
        write_drawing(self.session.generator, picture, step, member.row)
        self._unfinished.remove(member)
        return picture


def _open_run(locks: ExitStack, task: PictureTask, session: Session) -> Run:
    """The run directory of a picture, held for this process alone."""
    store = RunStore(task.config.out)
    locks.enter_context(locked(store.make_place(task.config, task.digest), "the same picture"))
    return store.create(
        task.config,
        task.digest,
        models=session.digests,
        device=device_name(task.config.device),
        precision={name: str(value) for name, value in session.arithmetic().items()},
        timings={
            name: dict(value.milliseconds)
            for name, value in session.arithmetic().items()
            if value.milliseconds
        },
        resumed_at=task.state.index if task.state else None,
    )


def _video(run: Run, row: int, start: int) -> StepCallback:
    """Records the video of a run; one that can't be written does not cost the picture."""
    from guidegen.recorders.video import LiveVideo  # loads PyAV, which other runs do without

    about = metadata.captions(run.config)
    return BestEffort(LiveVideo(run.path, replacing, row=row, resume_at=start, metadata=about))


def _best_so_far(step: Step) -> Step:
    """The step with each candidate's best latents so far, and their loss."""
    best = step.snapshot().best if step.snapshot is not None else None
    if best is None:
        return step
    return replace(step, latents=best.latents, losses={**step.losses, "total": best.loss})


def _joined(states: Sequence[LoopState | None], device: str) -> LoopState | None:
    found = [state for state in states if state is not None]
    if not found:
        return None
    return join_states(found, device=device)

"""The composition root: configs in, finished pictures out.

Configs that differ only in prompt, negative prompts and seed advance together as candidates of one
batch; models are loaded once.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from signal import SIGINT

import torch
from PIL import Image

from guidegen.config import RunConfig
from guidegen.engine.build import WIDTH, Guidance, make_candidate, make_guidance, make_steps
from guidegen.engine.models import Session, open_session
from guidegen.engine.resolve import batch_key, check, device_name, resolve
from guidegen.errors import ConfigError, RunInterruptedError
from guidegen.guidance.targets import similarity
from guidegen.interfaces import LoopState, Step
from guidegen.media.images import to_pil
from guidegen.ops import rows
from guidegen.recorders import Harmless, Recorder, record
from guidegen.recorders.jsonl import Jsonl
from guidegen.recorders.trajectory import Trajectory
from guidegen.recorders.video import LiveVideo
from guidegen.runs import metadata
from guidegen.runs.snapshots import join_states, newest_state, remove_states, write_state
from guidegen.runs.store import Run, RunStore, check_writable, picture_path
from guidegen.utils.failpoints import failpoint
from guidegen.utils.files import replacing, write_atomic
from guidegen.utils.locks import locked
from guidegen.utils.signals import deferred
from guidegen.utils.versions import own_version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """One finished picture.

    Attributes:
        config: what was really used, with every default filled in.
        image: the picture.
        path: where the final PNG lies; None if nothing was written.
        run: the run directory; None if nothing was written.
        scores: name -> figure.
        reused: an identical finished run was found, so nothing was computed.
    """

    config: RunConfig
    image: Image.Image
    path: Path | None
    run: Run | None
    scores: dict[str, float]
    reused: bool = False


def generate(
    configs: Sequence[RunConfig],
    *,
    recorders: Callable[[Sequence[RunConfig]], Sequence[Recorder]] | None = None,
    write: bool = True,
    force: bool = False,
) -> Iterator[Picture]:
    """Make the pictures; yields each as soon as it is finished.

    Args:
        configs: one per picture.
        recorders: makes the recorders of one batch from its configs (progress, say).
        write: write run directories and pictures.
        force: make a picture again although an identical run is finished.

    Raises:
        RunInterruptedError: after Ctrl-C; the pictures so far are written as "interrupted".
        GuidegenError: as `check`, before any work; or broken weights.
    """
    check(configs)
    if write:
        for out in sorted({config.out for config in configs}):
            check_writable(out)
    total = len(configs)
    jobs = [(index, resolve(config)) for index, config in enumerate(configs)]
    groups: dict[str, list[tuple[int, RunConfig]]] = {}
    for index, config in jobs:
        groups.setdefault(batch_key(config), []).append((index, config))
    for group in groups.values():
        session = open_session(group[0][1])
        waiting = iter(group)
        while chunk := list(islice(waiting, WIDTH)):
            by_step: dict[int, list[_Job]] = {}
            for index, config in chunk:
                job = _Job(index, config, _digest(config, session) if write else "")
                found = job.finished() if write and not force else None
                if found is None:
                    if write and not force:
                        job = replace(job, state=job.stopped())
                    by_step.setdefault(job.state.index if job.state else 0, []).append(job)
                else:
                    yield _reuse(found, job, total)
            for batch in by_step.values():
                yield from _make(session, batch, total, recorders, write)


def check_same(run: Run) -> None:
    """Refuse to go on with a run that would not become what it was to become.

    Raises:
        ConfigError: another guidegen or other weights made its beginning.
        GuidegenError: as `check`.
    """
    check([run.config])
    session = open_session(run.config)
    if _digest(run.config, session) != run.digest:
        changed = [
            name for name, digest in session.digests.items() if run.models.get(name) != digest
        ]
        theirs = run.versions.get("guidegen", "unknown")
        why = f"the weights of {', '.join(changed)} changed" if changed else f"by guidegen {theirs}"
        raise ConfigError(
            f"{run.path} was begun with other code or weights ({why}) and can't go on exactly; "
            "make it anew with the command in its run.json"
        )


@dataclass(frozen=True)
class _Job:
    """One picture to make.

    Attributes:
        index: its number in this call.
        config: resolved.
        digest: over everything that changes its pixels; "" if nothing is written.
        state: where an earlier try stopped.
    """

    index: int
    config: RunConfig
    digest: str
    state: LoopState | None = None

    def finished(self) -> Run | None:
        """The run that made this picture before."""
        return RunStore(self.config.out).find(self.config, self.digest)

    def stopped(self) -> LoopState | None:
        """Where a run of it was stopped or killed."""
        folder = RunStore(self.config.out).place(self.config, self.digest)
        return newest_state(folder, device=device_name(self.config.device))


def _digest(config: RunConfig, session: Session) -> str:
    """Over everything that changes the pixels, and that includes this code."""
    return config.digest({**session.digests, "guidegen": own_version()})


def _make(
    session: Session,
    jobs: Sequence[_Job],
    total: int,
    recorders: Callable[[Sequence[RunConfig]], Sequence[Recorder]] | None,
    write: bool,
) -> Iterator[Picture]:
    """Optimise one batch of candidates, all at the same step, and write their pictures."""
    configs = [job.config for job in jobs]
    first = configs[0]
    candidates = [make_candidate(config) for config in configs]
    guidance = make_guidance(session, first, candidates)
    resume = _joined([job.state for job in jobs], first.device)
    start = resume.index if resume else 0
    last: Step | None = None
    with ExitStack() as stack:
        runs = [_open_run(stack, job, session) if write else None for job in jobs]
        watchers: list[Recorder] = list(recorders(configs)) if recorders else []
        savers: list[Jsonl | Trajectory] = []
        for row, run in enumerate(runs):
            if run is not None:
                if resume is None:
                    remove_states(run.path)
                lines = Jsonl(run.path / "steps.jsonl", row=row, resume_at=start)
                savers += [lines, Trajectory(run.path, run.write, row=row, resume_at=start)]
                if first.video:
                    watchers.append(_video(run, row, start))
        watched = stack.enter_context(ExitStack())
        stop = watched.enter_context(deferred())
        try:
            steps = watched.enter_context(
                closing(record(make_steps(session, guidance, first, resume), [*watchers, *savers]))
            )
            for step in steps:
                last = step
                failpoint("step", str(step.index))
                stopped = stop and step.index < step.total
                due = step.index % first.save_every == 0 and start < step.index < step.total
                if write and (due or stopped):
                    _save(step, runs, savers, first)
                if stopped:
                    break
            watched.close()
            assert last is not None
            budget = guidance.evaluator.budget
            if budget.views != first.cutout_batch:
                for run in runs:
                    if run is not None:
                        run.notes.append(f"out of memory: {budget.views} cutouts at a time")
            if stop and last.index < last.total:
                _keep(session, guidance, jobs, runs, last, total)
                raise RunInterruptedError.by(stop.signal, len(jobs))
            for row, job in enumerate(jobs):
                image, scores = _finish(session, guidance, last, row)
                yield _write(session, runs[row], job, image, scores, total, "finished")
            if stop:  # it came within the last step: these are finished, the next do not begin
                raise RunInterruptedError.by(stop.signal, 0)
        except (RunInterruptedError, GeneratorExit):
            raise
        except KeyboardInterrupt:
            watched.close()
            if last is not None:
                _keep(session, guidance, jobs, runs, last, total)
            raise RunInterruptedError.by(SIGINT, len(jobs)) from None
        except BaseException as error:
            for run in runs:
                if run is not None and run.status == "running":
                    run.fail(error)
            raise


def _open_run(stack: ExitStack, job: _Job, session: Session) -> Run:
    """The run directory of a job, held for this process alone."""
    store = RunStore(job.config.out)
    stack.enter_context(locked(store.make_place(job.config, job.digest), "the same picture"))
    return store.create(
        job.config,
        job.digest,
        models=session.digests,
        device=device_name(job.config.device),
        resumed_at=job.state.index if job.state else None,
    )


def _video(run: Run, row: int, start: int) -> Recorder:
    """Records the video of a run; a video that can't be written does not cost the picture."""
    about = metadata.captions(run.config)
    return Harmless(LiveVideo(run.path, replacing, row=row, resume_at=start, metadata=about))


def _joined(states: Sequence[LoopState | None], device: str) -> LoopState | None:
    found = [state for state in states if state is not None]
    if not found:
        return None
    return join_states(found, device=device)


def _save(
    step: Step, runs: Sequence[Run | None], savers: Sequence[Jsonl | Trajectory], config: RunConfig
) -> None:
    """Make all that was done so far last; the state comes last, since it vouches for the rest."""
    assert step.snapshot is not None
    state = step.snapshot()
    for saver in savers:
        saver.save()
    for row, run in enumerate(runs):
        if run is not None:
            write_state(run.path, run.write, state, row, device=device_name(config.device))


@torch.no_grad()
def _finish(
    session: Session, guidance: Guidance, step: Step, row: int
) -> tuple[Image.Image, dict[str, float]]:
    """The picture at its full size, and how near each CLIP finds it to the prompt."""
    latents = rows(step.latents, slice(row, row + 1))
    images = session.generator.decode(latents, size=session.generator.size)
    scores = {"loss": float(step.losses["total"][row])}
    words = len(guidance.evaluator.candidates[row].prompts)
    for perceptor, _ in session.ensemble:
        target = guidance.targets[perceptor.name][row]
        scores[f"similarity {perceptor.name}"] = similarity(perceptor, target, images, words)
    return to_pil(images[0]), scores


def _write(
    session: Session,
    run: Run | None,
    job: _Job,
    image: Image.Image,
    scores: dict[str, float],
    total: int,
    status: str,
) -> Picture:
    config = job.config
    if run is None:
        return Picture(config, image, None, None, scores)
    data = metadata.save_png(image, config, scores=scores, models=session.digests)
    path = _copy_out(run.write("image.png", data), data, config, job.index, total)
    run.finish(scores, status=status)
    if status == "finished":
        remove_states(run.path)
    return Picture(config, image, path, run, scores)


def _copy_out(image: Path, data: bytes, config: RunConfig, index: int, total: int) -> Path:
    """Where the user finds a picture: in its run, or as a copy where `out` names a file."""
    copy = picture_path(config.out, index=index, total=total)
    return image if copy is None else write_atomic(copy, data)


def _keep(
    session: Session,
    guidance: Guidance,
    jobs: Sequence[_Job],
    runs: Sequence[Run | None],
    last: Step,
    total: int,
) -> None:
    """Write the best pictures of an interrupted batch so far."""
    step = last if last.best is None else replace(last, latents=last.best)
    for row, job in enumerate(jobs):
        image, scores = _finish(session, guidance, step, row)
        _write(session, runs[row], job, image, scores, total, "interrupted")


def _reuse(run: Run, job: _Job, total: int) -> Picture:
    remove_states(run.path)  # there are some if it was killed just before it had removed them
    path = _copy_out(run.image, run.image.read_bytes(), job.config, job.index, total)
    with Image.open(run.image) as image:
        image.load()
    return Picture(run.config, image, path, run, run.scores, reused=True)

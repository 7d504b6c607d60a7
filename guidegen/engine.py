"""The composition root: configs in, finished pictures out.

Configs that differ only in prompt, negative prompts and seed advance together as candidates of one
batch; models are loaded once.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from guidegen import metadata
from guidegen.config import RunConfig
from guidegen.cutouts import CutoutSettings
from guidegen.errors import RunInterruptedError
from guidegen.init_image import read_init
from guidegen.interfaces import Candidate, Encodes, Step
from guidegen.objective import Eye, Objective, Target
from guidegen.ops import rows
from guidegen.optimize import Loop, LoopSettings, optimize
from guidegen.perceptor import (
    encode_prompt,
    truncated_words,
)
from guidegen.prompt import Prompt, parse_scenes
from guidegen.recorders import Recorder, record
from guidegen.recorders.image import to_pil
from guidegen.recorders.jsonl import Jsonl
from guidegen.recorders.trajectory import Trajectory
from guidegen.resolve import batch_key, check, device_name, generator_info, resolve
from guidegen.runs import Run, RunStore, check_writable, picture_path, write_atomic
from guidegen.search import best_of, prefer
from guidegen.session import Session, open_session
from guidegen.steps import averaged

log = logging.getLogger(__name__)

# Candidates in one batch: wide enough to fill a GPU; a CPU takes them one by one anyway.
_WIDTH = 8


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
        while chunk := list(islice(waiting, _WIDTH)):
            todo = []
            for index, config in chunk:
                found = _find(config, session) if write and not force else None
                if found is None:
                    todo.append((index, config))
                else:
                    yield _reuse(found, config, index, total)
            if todo:
                yield from _make(session, todo, total, recorders, write)


def _make(
    session: Session,
    jobs: Sequence[tuple[int, RunConfig]],
    total: int,
    recorders: Callable[[Sequence[RunConfig]], Sequence[Recorder]] | None,
    write: bool,
) -> Iterator[Picture]:
    """Optimise one batch of candidates and write their pictures."""
    configs = [config for _, config in jobs]
    first = configs[0]
    candidates = [_candidate(config) for config in configs]
    loop = _loop(session, first, configs, candidates)
    runs = [_create_run(config, session) if write else None for config in configs]
    last: Step | None = None
    with ExitStack() as stack:
        watchers: list[Recorder] = list(recorders(configs)) if recorders else []
        for row, run in enumerate(runs):
            if run is not None:
                watchers.append(Jsonl(run.path / "steps.jsonl", row=row))
                watchers.append(Trajectory(run.write, row=row))
        try:
            steps = stack.enter_context(closing(record(_steps(session, loop, first), watchers)))
            for step in steps:
                last = step
        except KeyboardInterrupt:
            stack.close()
            kept = _keep(session, loop, jobs, runs, last, total)
            raise RunInterruptedError(
                f"stopped; the {kept} picture{'s' * (kept != 1)} so far and all finished ones are "
                "kept; run the same command to make them again"
            ) from None
        except BaseException as error:
            for run in runs:
                if run is not None:
                    run.fail(error)
            raise
    assert last is not None
    for row, (index, config) in enumerate(jobs):
        image, scores = _finish(session, loop, last, row)
        yield _write(session, runs[row], config, image, scores, index, total, "finished")


def _steps(session: Session, loop: Loop, config: RunConfig) -> Iterator[Step]:
    generator = session.generator
    preference = None
    if config.init_image is not None:
        assert isinstance(generator, Encodes)
        size = config.height_width() or (0, 0)
        start = generator.encode(read_init(config.init_image, size).to(config.device))
        index = torch.zeros(len(loop.candidates), dtype=torch.long, device=config.device)
        latents = rows(start, index)
    else:
        if generator.vocabulary is not None:
            preference = prefer(session.ensemble, generator.vocabulary, loop.candidates)
        latents = best_of(loop, config.starts or 1, preference=preference)
    steps = optimize(loop, latents, preference=preference)
    return averaged(steps, config.ema, generator.decode) if config.ema else steps


def _loop(
    session: Session,
    config: RunConfig,
    configs: Sequence[RunConfig],
    candidates: Sequence[Candidate],
) -> Loop:
    defaults = generator_info(config).defaults
    eyes = [
        Eye(
            perceptor,
            weight,
            [
                _target(perceptor, candidate, each)
                for candidate, each in zip(candidates, configs, strict=True)
            ],
        )
        for perceptor, weight in session.ensemble
    ]
    assert config.steps is not None
    assert config.lr is not None
    assert config.cutouts is not None
    return Loop(
        generator=session.generator,
        objective=Objective(eyes, distance=config.distance),
        cutouts=CutoutSettings(count=config.cutouts, noise=defaults.noise),
        candidates=candidates,
        settings=LoopSettings(
            steps=config.steps,
            lr=config.lr,
            optimizer=config.optimizer,
            cutout_batch=config.cutout_batch,
            group=1 if config.device == "cpu" else _WIDTH,
        ),
    )


def _candidate(config: RunConfig) -> Candidate:
    (scene,) = parse_scenes(config.prompt)
    away = tuple(Prompt(text.strip(), weight=-0.5) for text in config.negative)
    rng = torch.Generator().manual_seed(config.seed)
    return Candidate((*scene, *away), config.seed, rng)


def _target(perceptor: Any, candidate: Candidate, config: RunConfig) -> Target:
    for prompt in candidate.prompts:
        cut = truncated_words(perceptor, prompt.text)
        if cut:
            log.warning("%s reads only the start of the prompt; cut off: %r", perceptor.name, cut)
    features = torch.stack(
        [encode_prompt(perceptor, prompt.text, config.template) for prompt in candidate.prompts]
    )
    weights = features.new_tensor([prompt.weight for prompt in candidate.prompts])
    stops = features.new_tensor([prompt.stop for prompt in candidate.prompts])
    return Target(features, weights, stops)


@torch.no_grad()
def _finish(
    session: Session, loop: Loop, step: Step, row: int
) -> tuple[Image.Image, dict[str, float]]:
    """The picture at its full size, and how near each CLIP finds it to the prompt."""
    latents = rows(step.latents, slice(row, row + 1))
    images = session.generator.decode(latents, size=session.generator.size)
    scores = {"loss": float(step.losses["total"][row])}
    for eye in loop.objective.eyes:
        target = eye.targets[row]
        seen = eye.perceptor.encode_image(images)[0]
        wanted = target.features[target.weights > 0].mean(0)
        scores[f"similarity {eye.perceptor.name}"] = float(seen @ (wanted / wanted.norm()))
    return to_pil(images[0]), scores


def _write(
    session: Session,
    run: Run | None,
    config: RunConfig,
    image: Image.Image,
    scores: dict[str, float],
    index: int,
    total: int,
    status: str,
) -> Picture:
    if run is None:
        return Picture(config, image, None, None, scores)
    data = metadata.save_png(image, config, scores=scores, models=session.digests)
    path = _copy_out(run.write("image.png", data), data, config, index, total)
    run.finish(scores, status=status)
    return Picture(config, image, path, run, scores)


def _copy_out(image: Path, data: bytes, config: RunConfig, index: int, total: int) -> Path:
    """Where the user finds a picture: in its run, or as a copy where `out` names a file."""
    copy = picture_path(config.out, index=index, total=total)
    return image if copy is None else write_atomic(copy, data)


def _keep(
    session: Session,
    loop: Loop,
    jobs: Sequence[tuple[int, RunConfig]],
    runs: Sequence[Run | None],
    last: Step | None,
    total: int,
) -> int:
    """Write the pictures of an interrupted batch as they stand; returns how many."""
    if last is None:
        for run in runs:
            if run is not None:
                run.finish({}, status="interrupted")
        return 0
    for row, (index, config) in enumerate(jobs):
        image, scores = _finish(session, loop, last, row)
        _write(session, runs[row], config, image, scores, index, total, "interrupted")
    return len(jobs)


def _digest(config: RunConfig, session: Session) -> str:
    """Over everything that changes the pixels, and that includes this code."""
    return config.digest({**session.digests, "guidegen": metadata.own_version()})


def _create_run(config: RunConfig, session: Session) -> Run:
    return RunStore(config.out).create(
        config,
        _digest(config, session),
        models=session.digests,
        device=device_name(config.device),
    )


def _find(config: RunConfig, session: Session) -> Run | None:
    return RunStore(config.out).find(config, _digest(config, session))


def _reuse(run: Run, config: RunConfig, index: int, total: int) -> Picture:
    path = _copy_out(run.image, run.image.read_bytes(), config, index, total)
    with Image.open(run.image) as image:
        image.load()
    return Picture(run.config, image, path, run, run.scores, reused=True)

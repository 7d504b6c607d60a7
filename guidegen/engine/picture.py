"""From a step to a finished picture: full size, scores, metadata, files."""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from guidegen.config import ResolvedConfig, RunConfig
from guidegen.engine.build import Guidance
from guidegen.engine.models import Session, open_session
from guidegen.engine.resolve import device_name
from guidegen.errors import ConfigError, InputImageError
from guidegen.guidance.targets import similarity
from guidegen.interfaces import Draws, Generator, Images, LoopState, Step
from guidegen.media.images import to_pil
from guidegen.media.upscale import load_upscaler
from guidegen.ops import rows
from guidegen.precision import Arithmetic
from guidegen.runs import metadata
from guidegen.runs.snapshots import newest_state, remove_states
from guidegen.runs.store import IMAGE, MEANT, Run, RunStore, is_picture, picture_path
from guidegen.utils.files import remove_orphans, write_atomic
from guidegen.utils.versions import own_version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """One picture that a run made.

    Attributes:
        config: what was really used, with every default filled in.
        image: the picture, enlarged if `config.upscale` says so.
        path: where its PNG lies; None if nothing was written.
        run: the run directory; None if nothing was written.
        scores: name -> figure.
        reused: an identical finished run was found, so nothing was computed.
        status: "finished", or "interrupted": the best so far of a run that can go on.
        ended: why it ended before its last step; "" where it did not.
    """

    config: ResolvedConfig
    image: Image.Image
    path: Path | None
    run: Run | None
    scores: dict[str, float] = field(default_factory=dict)
    reused: bool = False
    status: str = "finished"
    ended: str = ""

    def _repr_png_(self) -> bytes:
        """How a notebook shows it."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True)
class Ending:
    """Why a run ended before its last step.

    Attributes:
        status: "finished": the picture so far is the picture; "interrupted": it is to go on.
        why: as in `guidegen.runs.store.Run.ended`.
        goes_on: its state is kept, since another call may want more of it.
    """

    status: str
    why: str
    goes_on: bool = True


@dataclass(frozen=True)
class PictureTask:
    """One picture to make.

    Attributes:
        index: its number in this call, of `total`.
        total: pictures of this call.
        config: resolved.
        digest: over everything that changes its pixels; "" if nothing is written.
        state: where an earlier try stopped.
        force: replace any file that `out` names.
    """

    index: int
    total: int
    config: ResolvedConfig
    digest: str = ""
    state: LoopState | None = None
    force: bool = False

    def finished(self) -> Run | None:
        """The run that made this picture before."""
        return RunStore(self.config.out).find(self.config, self.digest)

    def stopped(self) -> LoopState | None:
        """Where a run of it was stopped or killed."""
        folder = RunStore(self.config.out).place(self.config, self.digest)
        return newest_state(folder, device=device_name(self.config.device))

    def precision(self) -> dict[str, str]:
        """What the networks of the run that was stopped computed in, as far as they can here."""
        if self.state is None:
            return {}
        folder = RunStore(self.config.out).place(self.config, self.digest)
        try:
            kept = Run.load(folder).precision
            for text in kept.values():
                Arithmetic.read(text, self.config.device)
        except (InputImageError, ConfigError, AttributeError):
            return {}
        return kept

    def begun_as(self) -> tuple[object, ...]:
        """Equal for pictures that can go on together: at which step, in which precision."""
        return (self.state.index if self.state else 0, *sorted(self.precision().items()))

    def session(self, session: Session) -> Session:
        """This session, or that in the precision which a run began with, though it be slower."""
        kept = self.precision()
        if not kept or kept == {name: str(a) for name, a in session.arithmetic().items()}:
            return session
        return open_session(self.config, keep=kept)


def digest_of(config: RunConfig, session: Session) -> str:
    """Over everything that changes the pixels, and that includes this code."""
    return config.digest({**session.digests, "guidegen": own_version()})


def similarities(guidance: Guidance, images: Images, row: int) -> dict[str, float]:
    """Cosine of one candidate's picture [1, 3, H, W] and its prompt in the space of each CLIP."""
    evaluator = guidance.evaluator
    words = len(evaluator.candidates[row].prompts)
    return {
        perceptor.name: similarity(perceptor, guidance.targets[perceptor.name][row], images, words)
        for perceptor, _ in evaluator.perceptors
    }


@torch.no_grad()
def render(guidance: Guidance, step: Step, row: int) -> tuple[Image.Image, dict[str, float]]:
    """The picture of a step at its full size, and how near each CLIP finds it to the prompt."""
    generator = guidance.evaluator.generator
    latents = rows(step.latents, slice(row, row + 1))
    images = generator.decode(latents, size=generator.size)
    scores = {"loss": float(step.losses["total"][row])}
    for name, value in similarities(guidance, images, row).items():
        scores[f"similarity {name}"] = value
    if guidance.judge is not None:
        scores[guidance.judge.name] = guidance.judge.score(images, row)
    return to_pil(images[0]), scores


def write_picture(
    session: Session,
    run: Run | None,
    task: PictureTask,
    image: Image.Image,
    scores: dict[str, float],
    *,
    step: Step,
    ending: Ending | None,
) -> Picture:
    """Write a picture into its run and note there how the run ended.

    Args:
        session: loaded models.
        run: None writes nothing.
        task: whose picture it is.
        image: at full size.
        scores: name -> figure.
        step: the last of the run.
        ending: None at the end of all steps.
    """
    status, why = (ending.status, ending.why) if ending else ("finished", "")
    path = None
    if run is not None:
        data = metadata.save_png(image, task.config, scores=scores, models=session.digests)
        path = run.write(IMAGE, data)
    if status == "finished":
        image, path = _enlarged(image, path, run, task.config, scores, session.digests)
    if run is not None and path is not None:
        path = _copy_out(path, image, task, scores, session.digests)
        run.finish(scores, status=status, ended=why, last_step=step.index)
        if ending is None or not ending.goes_on:
            remove_states(run.path)
    return Picture(task.config, image, path, run, scores, status=status, ended=why)


def write_drawing(generator: Generator, picture: Picture, step: Step, row: int) -> None:
    """Write the drawing of one candidate as SVG beside its picture, where the generator draws."""
    if picture.run is None or not isinstance(generator, Draws):
        return
    data = generator.svg(rows(step.latents, slice(row, row + 1))).encode()
    picture.run.write("image.svg", data)
    if picture.path is not None and picture.path.parent != picture.run.path:
        write_atomic(picture.path.with_suffix(".svg"), data)


def reuse(run: Run, task: PictureTask) -> Picture:
    """The picture of a run that was finished earlier."""
    if run.ended in MEANT:  # killed just before it had removed them
        remove_states(run.path)
    with Image.open(run.image) as opened:
        found: Image.Image = opened.copy()
    image, path = _enlarged(found, run.image, run, task.config, run.scores, run.models)
    path = _copy_out(path or run.image, image, task, run.scores, run.models)
    return Picture(task.config, image, path, run, run.scores, reused=True, ended=run.ended)


def _enlarged(
    image: Image.Image,
    path: Path | None,
    run: Run | None,
    config: RunConfig,
    scores: Mapping[str, float],
    models: Mapping[str, str],
) -> tuple[Image.Image, Path | None]:
    """The picture two, three or four times as large, written beside itself, where that is asked."""
    if config.upscale == 1:
        return image, path
    large = load_upscaler(config.device).picture(image, config.upscale)
    if run is None:
        return large, None
    data = metadata.save_png(large, config, scores=scores, models=models)
    return large, run.write(f"image-{config.upscale}x.png", data)


def _copy_out(
    made: Path,
    image: Image.Image,
    task: PictureTask,
    scores: Mapping[str, float],
    models: Mapping[str, str],
) -> Path:
    """Where the user finds a picture: in its run, or as a copy where `out` names a file."""
    config = task.config
    if not is_picture(config.out):
        return made
    suffix = config.out.suffix.lower()
    data = metadata.encode(image, config, suffix, scores=scores, models=models)
    copy = picture_path(
        config.out, config, index=task.index, total=task.total, data=data, force=task.force
    )
    assert copy is not None
    remove_orphans(copy)
    if copy.stem not in (config.out.stem, f"{config.out.stem}-{task.index + 1}"):
        log.warning("%s is another picture; this one is %s (force replaces it)", config.out, copy)
    return write_atomic(copy, data)

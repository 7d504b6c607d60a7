"""A run with its latents and a generator that decodes them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import torch

from guidegen.config import RunConfig
from guidegen.engine.models import wrapped
from guidegen.engine.resolve import resolve
from guidegen.errors import InputImageError, WeightsError
from guidegen.interfaces import Generator, Images, Latents
from guidegen.media.video_encoder import Frame
from guidegen.ops import resize, to_bytes
from guidegen.recorders.trajectory import Stored, read_trajectory
from guidegen.registry import load_generator
from guidegen.runs.metadata import command
from guidegen.runs.store import Run
from guidegen.utils.versions import own_version

log = logging.getLogger(__name__)

# Pictures decoded at once on a device that is better used by several; bounds memory.
_BATCH = 4


@dataclass(frozen=True)
class Source:
    """A run that can be shown.

    Attributes:
        run: its record.
        generator: decodes its latents.
        stored: its trajectory.
        device: where the generator computes.
    """

    run: Run
    generator: Generator
    stored: Stored
    device: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its picture."""
        return self.generator.size


def trajectory(run: Run) -> Stored:
    """The latents of a run over time.

    Raises:
        InputImageError: there are none.
        WeightsError: they are damaged.
    """
    found = read_trajectory(run.path)
    if found is None or not found.latents or not found.steps:
        kept = run.config.trajectory or RunConfig.model_fields["trajectory"].default
        again = command(run.config.model_copy(update={"trajectory": kept}))
        raise InputImageError(
            f"{run.path} has no trajectory to make a video of: it was deleted, not wanted "
            "(trajectory 0), or the run stopped before its first save; make it again, by force: "
            f"{again}"
        )
    return found


def open_source(run: Run, *, device: str = "auto") -> Source:
    """Load what a run's video needs: its latents and its generator, no CLIP.

    Raises:
        GuidegenError: no trajectory, a damaged one, or weights that are missing or broken.
    """
    stored = trajectory(run)
    config = resolve(run.config.model_copy(update={"device": device}))
    generator = _load(
        config.generator,
        config.option,
        config.height_width(),
        config.device,
        config.generator_precision,
    )
    _compare(run, config, generator)
    generator = wrapped(generator, config)
    source = Source(run, generator, stored, config.device)
    try:
        decode(source, [{name: value[-1] for name, value in stored.latents.items()}], (16, 16))
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"the trajectory of {run.path} does not fit {config.generator}: {error}; make it again "
            f"with the command in its run.json"
        ) from error
    return source


@lru_cache(maxsize=4)
def _load(
    name: str, given: tuple[str, ...], size: tuple[int, int], device: str, precision: str
) -> Generator:
    generator: Generator = load_generator(
        name, given, size=size, device=device, precision=precision
    )
    return generator


def _compare(run: Run, config: RunConfig, generator: Generator) -> None:
    """Say so where the video may not show what the run did."""
    if generator.digest and run.models.get(config.generator, generator.digest) != generator.digest:
        log.warning(
            "%s was made with other weights of %s; the video differs", run.path, config.generator
        )
    version = run.versions.get("guidegen", "")
    if version != own_version():
        log.warning("%s was made by guidegen %s; the video may differ", run.path, version or "?")


@torch.no_grad()
def decode(source: Source, rows: Sequence[Latents], size: tuple[int, int]) -> Images:
    """Pictures [n, 3, H, W] of n latents without batch axis, at `size` (height, width)."""
    batch = {name: torch.stack([each[name] for each in rows]).to(source.device) for name in rows[0]}
    images = source.generator.decode(batch, size=size).float()
    return resize(images, size)  # some generators have one size


def pictures(source: Source, latents: Iterable[Latents], size: tuple[int, int]) -> Iterator[Images]:
    """Decode latents in small batches and yield each picture [3, H, W]."""
    batch = 1 if source.device == "cpu" else _BATCH
    waiting = iter(latents)
    while rows := list(islice(waiting, batch)):
        yield from decode(source, rows, size)


def to_frame(image: Images) -> Frame:
    """A picture [3, H, W] in [0, 1] as [H, W, 3] bytes, rounded to the nearest level."""
    frame: Frame = to_bytes(image).cpu().numpy()
    return frame

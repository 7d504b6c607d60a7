"""Runs, re-rendered from their trajectories, as one video; frame by frame, so memory is constant.

Source of the idea of rendering afterwards: `projector.py` of NVlabs/stylegan2-ada-pytorch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from guidegen.errors import ConfigError
from guidegen.media.upscale import check_upscale, load_upscaler
from guidegen.media.video_encoder import KINDS, Encoder, Frame
from guidegen.runs.metadata import captions
from guidegen.runs.store import Run
from guidegen.utils.files import hold, remove_orphans, replacing
from guidegen.video.interpolate import at
from guidegen.video.playback import Source, open_source, pictures, to_frame
from guidegen.video.settings import VideoSettings, check_place, positions, width_for

# H.264 knows no longer sides at its highest level.
_LONGEST_SIDE = 8192
# Called with (frames done, frames in all).
Progress = Callable[[int, int], object]


def render(
    runs: Sequence[Run],
    out: Path,
    settings: VideoSettings,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Show the way of each run from its start to its picture, several side by side.

    Args:
        runs: one or more; all get the same height.
        out: the file; an earlier one is replaced when the new one is done.
        settings: how.
        device: where the latents are decoded.
        progress: told after every frame.

    Raises:
        GuidegenError: a run has no (sound) trajectory, weights are missing, or `out` can't be
            written.
    """
    check_place(out)
    sources = [open_source(run, device=device) for run in runs]
    height = settings.size or max(source.size[0] for source in sources)
    ways = [_way(source, height, settings) for source in sources]
    total = settings.moving + settings.held
    frames: Iterator[Frame] = (np.concatenate(row, axis=1) for row in zip(*ways, strict=True))
    if settings.upscale > 1:
        width = sum(width_for(height, source.size) for source in sources)
        frames = _enlarged(frames, (height, width), settings.upscale, sources[0].device)
    about = captions(runs[0].config)
    if about and len(runs) > 1:
        about["title"] = " / ".join(captions(run.config).get("title", "") for run in runs)
    return write(_held(frames, settings.held), out, settings, total, about, progress)


def _way(source: Source, height: int, settings: VideoSettings) -> Iterator[Frame]:
    """The moving frames of one run, from the first stored state to the last."""
    stored = source.stored
    places = positions(settings.moving, len(stored.steps) - 1, settings.ease)
    size = (height, width_for(height, source.size))
    latents = (at(stored.latents, place) for place in places)
    return map(to_frame, pictures(source, latents, size))


def _enlarged(
    frames: Iterable[Frame], size: tuple[int, int], factor: int, device: str
) -> Iterator[Frame]:
    """The frames, each made larger.

    Raises:
        ConfigError: at once, if a frame would be larger than a video can be.
    """
    check_upscale(*size, factor)
    if factor * max(size) > _LONGEST_SIDE:
        raise ConfigError(
            f"frames of {size[1]}x{size[0]} enlarged {factor} times are larger than a video can "
            f"be, {_LONGEST_SIDE} pixels a side; take a smaller size or enlarge them less"
        )
    upscaler = load_upscaler(device)
    return (upscaler.enlarge(frame, factor) for frame in frames)


def _held(frames: Iterable[Frame], count: int) -> Iterator[Frame]:
    """The frames, and the last one `count` times more."""
    last: Frame | None = None
    for frame in frames:
        yield (last := frame)
    if last is not None:
        yield from (last for _ in range(count))


def write(
    frames: Iterable[Frame],
    out: Path,
    settings: VideoSettings,
    total: int,
    about: Mapping[str, str],
    progress: Progress | None,
) -> Path:
    """Encode frames into a whole file, or none.

    Raises:
        OutputError: it can't be written.
    """
    remove_orphans(out)
    with replacing(out) as temporary, temporary.open("wb") as file:
        hold(file)
        encoder = Encoder(file, KINDS[settings.format], settings.rate, metadata=about)
        for done, frame in enumerate(frames, 1):
            encoder.add(frame)
            if progress is not None:
                progress(done, total)
        encoder.close()
    return out

"""A video from the picture of one run to that of the next."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise, repeat
from pathlib import Path

from guidegen.errors import ConfigError
from guidegen.interfaces import Images, Latents
from guidegen.runs.metadata import captions
from guidegen.runs.store import Run
from guidegen.video.interpolate import between, row
from guidegen.video.playback import Source, decode, open_source, pictures, to_frame
from guidegen.video.render import Progress, write
from guidegen.video.settings import VideoSettings, check_place, ease, width_for


def default_place(runs: Sequence[Run], suffix: str) -> Path:
    """Where a morph goes that was given no place: next to the first run, named by all of them."""
    digest = hashlib.sha256(" ".join(run.digest for run in runs).encode()).hexdigest()
    return runs[0].path.parent / f"morph-{digest[:8]}.{suffix}"


def morph(
    runs: Sequence[Run],
    out: Path,
    settings: VideoSettings,
    *,
    loop: bool = False,
    crossfade: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Go through the pictures of several runs.

    Where two runs' latents fit together (same generator and options, same shapes, no choices) the
    way goes through latents, else the pictures are faded into each other.

    Args:
        runs: two or more, in this order.
        out: the file; an earlier one is replaced when the new one is done.
        settings: how; `seconds` is from one picture to the next.
        loop: go back to the first at the end.
        crossfade: fade pictures also where latents fit.
        device: where latents are decoded.
        progress: told after every frame.

    Raises:
        ConfigError: fewer than two runs.
        GuidegenError: as `guidegen.video.render.render`.
    """
    if len(runs) < 2:
        raise ConfigError("a morph goes from run to run; name at least two")
    check_place(out)
    sources = [open_source(run, device=device) for run in runs]
    height = settings.size or sources[0].size[0]
    size = (height, width_for(height, sources[0].size))
    legs = list(pairwise([*sources, *sources[: int(loop)]]))
    stay = max(1, settings.held)
    total = settings.moving * len(legs) + stay * (len(legs) + (not loop))
    about = captions(runs[0].config)
    if about:
        about["title"] = " to ".join(run.config.prompt for run in runs)
        del about["comment"]  # no command makes all of it
    images = _images(legs, settings.moving, stay, size, crossfade)
    # a loop ends just before the first picture comes again
    return write(map(to_frame, islice(images, total)), out, settings, total, about, progress)


def fits(a: Source, b: Source) -> bool:
    """Whether latents between those of two runs make sense."""
    one, other = a.run.config, b.run.config
    if (one.generator, one.option, a.size) != (other.generator, other.option, b.size):
        return False
    ours, theirs = _final(a), _final(b)
    return ours.keys() == theirs.keys() and all(
        value.is_floating_point() and value.shape == theirs[name].shape
        for name, value in ours.items()
    )


def _final(source: Source) -> Latents:
    return row(source.stored.latents, -1)


def _images(
    legs: Sequence[tuple[Source, Source]],
    moving: int,
    stay: int,
    size: tuple[int, int],
    crossfade: bool,
) -> Iterator[Images]:
    """Every frame [3, H, W]: each leg's start, its way, and at last the end of the last leg."""
    times = [ease((i + 1) / (moving + 1), "in-out") for i in range(moving)]
    picture = _picture(legs[0][0], size)
    for start, end in legs:
        arrived = _picture(end, size)
        yield from repeat(picture, stay)
        if crossfade or not fits(start, end):
            yield from (picture.lerp(arrived.to(picture), t) for t in times)
        else:
            a, b = _final(start), _final(end)
            yield from pictures(start, (between(a, b, t) for t in times), size)
        picture = arrived
    yield from repeat(picture, stay)


def _picture(source: Source, size: tuple[int, int]) -> Images:
    """The final picture [3, H, W]; one of another shape is cropped to its middle."""
    height, width = size
    scale = max(height / source.size[0], width / source.size[1])
    whole = (max(height, round(source.size[0] * scale)), max(width, round(source.size[1] * scale)))
    image = decode(source, [_final(source)], whole)[0]
    top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    return image[:, top : top + height, left : left + width]

"""`guidegen video`: the way of finished runs, re-rendered from their latents."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.cli.flags import whole
from guidegen.errors import ConfigError
from guidegen.runs.store import Run, run_folder
from guidegen.video.settings import Ease, Format, VideoSettings, check_place, choose_format

Fps = Annotated[
    float | None,
    Parameter(help="Frames per second [default: 60; 25 of a gif, 30 of a webp]."),
]
Size = Annotated[
    int | None,
    Parameter(
        help="Height in pixels, any; the width follows [default: that of the run].",
        converter=whole,
    ),
]
FormatFlag = Annotated[
    Format | None, Parameter(name="--format", help="mp4, gif or webp [default: mp4].")
]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps [default: auto].")]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], help="Only paths and errors.")]
Runs = Annotated[Path, Parameter(name="RUN", help="Run directory, or a file in it.")]


def video(
    *paths: Runs,
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="The file [default: video.mp4 in the run]."),
    ] = None,
    seconds: Annotated[float, Parameter(help="Length of the motion [default: 8].")] = 8.0,
    hold: Annotated[
        float, Parameter(help="Seconds that the last picture stays after it [default: 1.5].")
    ] = 1.5,
    fps: Fps = None,
    size: Size = None,
    ease: Annotated[
        Ease,
        Parameter(
            help="in-out: slow at both ends; linear: each step alike; out: fast at first "
            "[default: in-out]."
        ),
    ] = "in-out",
    format_: FormatFlag = None,
    upscale: Annotated[
        int, Parameter(help="Enlarge each frame 2, 3 or 4 times; seconds a frame on a CPU.")
    ] = 1,
    side_by_side: Annotated[bool, Parameter(help="One video with all runs next to each other.")] = (
        False
    ),
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Make a smooth video of a run from the latents that it recorded.

    Any rate, length and height can be had afterwards; nothing is optimised again.
    """
    kind = choose_format(format_, out)
    settings = VideoSettings(seconds, hold, fps, size, ease, kind, upscale)
    found = load_runs(paths, "guidegen video outputs/...")
    groups = [found] if side_by_side else [[run] for run in found]
    if out is not None and len(groups) > 1:
        raise ConfigError(
            f"--out names one file, but these are {len(groups)} runs; add --side-by-side, or "
            "leave --out"
        )
    places = [out or group[0].path / f"{_name(group)}.{kind}" for group in groups]
    for place in places:
        check_place(place)
    from guidegen.video.playback import trajectory
    from guidegen.video.render import render

    for run in found:
        trajectory(run)
    for group, place in zip(groups, places, strict=True):
        with bar(place.name, quiet) as progress:
            render(group, place, settings, device=device, progress=progress)
        print(place, flush=True)


def _name(group: Sequence[Run]) -> str:
    return "video" if len(group) == 1 else "side-by-side"


def load_runs(paths: Sequence[Path], example: str) -> list[Run]:
    """The runs that the user named, each once.

    Raises:
        ConfigError: none.
        InputImageError: there is no run.
    """
    if not paths:
        raise ConfigError(f"name a run: {example}")
    return [Run.load(run_folder(path)) for path in paths]


@contextmanager
def bar(label: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Shows frames as they are done, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=label, unit="frame", leave=False, dynamic_ncols=True) as shown:

        def update(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield update

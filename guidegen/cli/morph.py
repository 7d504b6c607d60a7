"""`guidegen morph`: a video from the picture of one run to that of the next."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.cli.video import Device, FormatFlag, Fps, Quiet, Runs, Size, bar, load_runs
from guidegen.errors import ConfigError
from guidegen.video.settings import VideoSettings, check_place, choose_format


def morph(
    *paths: Runs,
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="The file [default: next to the first run]."),
    ] = None,
    seconds: Annotated[float, Parameter(help="From one picture to the next [default: 3].")] = 3.0,
    hold: Annotated[float, Parameter(help="Seconds that each picture stays [default: 0.7].")] = 0.7,
    fps: Fps = None,
    size: Size = None,
    loop: Annotated[bool, Parameter(help="Go back to the first at the end.")] = False,
    crossfade: Annotated[
        bool,
        Parameter(help="Fade pictures; always so where latents have nothing between them."),
    ] = False,
    format_: FormatFlag = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Make a video through the pictures of several runs.

    Runs of one generator go through its latents; others are faded into each other.
    """
    kind = choose_format(format_, out)
    settings = VideoSettings(seconds, hold, fps, size, format=kind)
    found = load_runs(paths, "guidegen morph outputs/... outputs/...")
    if len(found) < 2:
        raise ConfigError("a morph goes from run to run; name at least two")
    if out is not None:
        check_place(out)
    from guidegen.video import morph as made

    place = out or made.default_place(found, kind)
    with bar(place.name, quiet) as progress:
        made.morph(
            found,
            place,
            settings,
            loop=loop,
            crossfade=crossfade,
            device=device,
            progress=progress,
        )
    print(place, flush=True)

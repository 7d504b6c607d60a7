"""`guidegen upscale`: pictures made two, three or four times as large."""

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.errors import ConfigError, GuidegenError


def upscale(
    *pictures: Annotated[Path, Parameter(name="IMAGE", help="Any still picture.")],
    scale: Annotated[
        int, Parameter(name=["--scale", "-s"], help="2, 3 or 4 times as large [default: 2].")
    ] = 2,
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"], help="A folder, or a .png file [default: NAME-2x.png beside it]."
        ),
    ] = None,
    device: Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps [default: auto].")] = (
        "auto"
    ),
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="Only paths and errors.")] = (
        False
    ),
) -> None:
    """Make pictures larger with a network that was trained on drawings.

    Transparency, prompt, settings and the AI marking go over into the new file.
    """
    if not pictures:
        raise ConfigError("name a picture: guidegen upscale picture.png")
    if out is not None and out.suffix and not out.is_dir() and len(pictures) > 1:
        raise ConfigError(f"--out names one file, but these are {len(pictures)} pictures")
    from guidegen.engine.resolve import choose_device
    from guidegen.media.upscale_file import check_upscale_file, upscale_file, upscale_path

    places = [upscale_path(picture, scale, out) for picture in pictures]
    for place in places:
        if places.count(place) > 1:
            raise ConfigError(f"two of the pictures would become {place}; do them one by one")
    for picture in pictures:
        check_upscale_file(picture, scale)
    where = choose_device(device)
    failed: list[GuidegenError] = []
    for picture in pictures:
        start = time.monotonic()
        try:
            print(upscale_file(picture, scale, out=out, device=where), flush=True)
        except GuidegenError as error:
            if len(pictures) == 1:
                raise
            failed.append(error)
            print(f"guidegen: {error}", file=sys.stderr)
            continue
        if not quiet:
            print(f"  {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
    if failed:
        raise type(failed[0])(f"{len(failed)} of {len(pictures)} pictures could not be enlarged")

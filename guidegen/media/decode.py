"""Picture files as pixels. Torch-free."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from guidegen.media.files import opened

_WHITE_16 = 65535


def decode(path: Path, what: str) -> Image.Image:
    """A picture as 8-bit RGB, upright as its EXIF says; what is transparent becomes white.

    Grey of 16 bits is scaled to 8; floats are taken as 0 (black) to 1 (white).

    Args:
        path: of the file.
        what: it is for, in messages.

    Raises:
        InputImageError: there is none, it can't be read, has more than 64 megapixels, or numbers
            that don't say what is white.
    """
    with opened(path, what) as image:
        image.load()
        with suppress(Exception):  # broken EXIF raises anything, and costs only the orientation
            image = ImageOps.exif_transpose(image)
        return _rgb(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _grey(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Grey of 16 bits or floats as 8 bits; Pillow's own conversion clips at 255."""
    if image.mode == "I":
        raise ValueError(
            "its pixels are whole numbers of 32 bits, which don't say what is white; save it with "
            "8 or 16 bits"
        )
    values = np.asarray(image).astype(np.float32)
    if image.mode != "F":
        values /= _WHITE_16
    elif not (values.min() >= 0 and values.max() <= 1):  # also not-a-number
        raise ValueError(
            f"its pixels are floats from {values.min():g} to {values.max():g}; they must be from "
            "0 (black) to 1 (white)"
        )
    levels = Image.fromarray(np.rint(values * 255).astype(np.uint8), "L")
    hidden = image.info.get("transparency")  # of a PNG: the one grey that is not shown
    if isinstance(hidden, int) and image.mode != "F":
        levels.putalpha(Image.fromarray(np.asarray(image) != hidden).convert("L"))
    return levels

"""Picture files that anybody may have made, decoded within bounds. Torch-free.

A file decides how much memory and which decoder it takes: so its kind, its pixels and the formats
are limited before anything is decoded.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from guidegen.errors import InputImageError

MAX_PIXELS = 64 * 2**20
# Formats that people keep pictures in. Others of Pillow's are left out: EPS, for one, is a program
# that Ghostscript would run.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA")
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


@contextmanager
def opened(path: Path, what: str, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """A picture whose header was read; what goes wrong with it in the block is one error.

    Raises:
        InputImageError: as `decode`.
    """
    try:
        # anything but a file may never end, or wait for a writer for ever
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no ordinary file"
            raise InputImageError(f"the {what} {path} is {kind}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF, and of sizes that we limit ourselves
            with Image.open(path, formats=formats) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                yield image
    except InputImageError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit is 2.7 times ours
        raise InputImageError(
            f"the {what} {path} has more pixels than the {MAX_PIXELS >> 20} megapixels that can be "
            "read; make it smaller"
        ) from None
    except FileNotFoundError:
        raise InputImageError(f"there is no {what} at {path}") from None
    except UnidentifiedImageError:
        raise InputImageError(
            f"the {what} {path} can't be read: it is no image, or none of {', '.join(formats)}"
        ) from None
    except Exception as error:  # Pillow's decoders raise a dozen types for a broken file
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputImageError(f"the {what} {path} can't be read: {why}") from None


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

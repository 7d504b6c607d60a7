"""Picture files that anybody may have made, opened within bounds. Torch-free.

A file decides how much memory and which decoder it takes: so its kind, its pixels and the formats
are limited before anything is decoded.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from guidegen.errors import InputImageError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 64 * 2**20
# Formats that people keep pictures in. Others of Pillow's are left out: EPS, for one, is a program
# that Ghostscript would run.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA")


@contextmanager
def opened(path: Path, what: str, formats: tuple[str, ...] = FORMATS) -> Iterator["Image.Image"]:
    """A picture whose header was read; what goes wrong with it in the block is one error.

    Args:
        path: of the file.
        what: it is for, in messages.
        formats: Pillow's names of those that are let in.

    Raises:
        InputImageError: there is none, it can't be read, or it has more than 64 megapixels.
    """
    from PIL import Image, UnidentifiedImageError

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

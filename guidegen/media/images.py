"""Pictures between files, PIL and tensors."""

from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from guidegen.errors import InputImageError
from guidegen.interfaces import Images
from guidegen.ops import to_bytes


def read_init(path: Path, size: tuple[int, int]) -> Images:
    """An init image [1, 3, H, W], scaled to cover the size and cropped at its centre.

    Raises:
        InputImageError: it can't be read.
    """
    plain = _open(path, "init image")
    height, width = size
    scale = max(width / plain.width, height / plain.height)
    plain = plain.resize(
        (max(width, round(plain.width * scale)), max(height, round(plain.height * scale))),
        Image.Resampling.LANCZOS,
    )
    left, top = (plain.width - width) // 2, (plain.height - height) // 2
    return _to_images(plain.crop((left, top, left + width, top + height)))


def read_picture(path: Path, what: str) -> Images:
    """A picture [1, 3, H, W] as it is.

    Args:
        path: of the file.
        what: it is for, in messages.

    Raises:
        InputImageError: it can't be read.
    """
    return _to_images(_open(path, what))


def _open(path: Path, what: str) -> Image.Image:
    """An RGB picture; what is transparent becomes white."""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
    except FileNotFoundError:
        raise InputImageError(f"there is no {what} at {path}") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputImageError(f"the {what} {path} can't be read: {error}") from None
    plain = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return plain.convert("RGB")


def _to_images(plain: Image.Image) -> Images:
    pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
    out: Tensor = pixels.view(1, plain.height, plain.width, 3).permute(0, 3, 1, 2).float() / 255
    return out


def to_pil(image: Tensor) -> Image.Image:
    """A picture [3, H, W] in [0, 1] as 8-bit RGB, rounded to the nearest level."""
    return Image.fromarray(to_bytes(image).cpu().numpy(), "RGB")

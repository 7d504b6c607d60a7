"""Pictures between files, PIL and tensors."""

import math
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from guidegen.config import MAX_SIDE
from guidegen.errors import InputImageError
from guidegen.interfaces import Images
from guidegen.media.decode import decode
from guidegen.ops import resize, to_bytes


def read_init(path: Path, size: tuple[int, int]) -> Images:
    """An init image [1, 3, H, W], scaled to cover the size and cropped at its centre.

    Raises:
        InputImageError: it can't be read.
    """
    height, width = size
    plain = decode(path, "init image")
    return _to_images(ImageOps.fit(plain, (width, height), Image.Resampling.LANCZOS))


def read_picture(path: Path, what: str) -> Images:
    """A picture [1, 3, H, W]; as it is, but no side longer than 4096 pixels.

    Args:
        path: of the file.
        what: it is for, in messages.

    Raises:
        InputImageError: it can't be read.
    """
    plain = decode(path, what)
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return _to_images(plain)


def read_grey(
    path: Path, size: tuple[int, int], what: str, *, shape: tuple[int, int] | None = None
) -> Tensor:
    """A mask [1, 1, H, W] from 0 (black) to 1, scaled and cropped as `read_init` does.

    Args:
        path: of the file.
        size: (height, width).
        what: it is for, in messages.
        shape: (height, width) whose ratio it must have, but for a hundredth; None for any.

    Raises:
        InputImageError: it can't be read, or has another shape.
    """
    height, width = size
    plain = decode(path, what)
    if shape is not None:
        ratio = plain.width * shape[0] / (plain.height * shape[1])
        if abs(math.log(ratio)) > 0.01:
            raise InputImageError(
                f"the {what} {path} has {plain.width}x{plain.height} pixels, another shape than "
                f"the picture's {shape[1]}x{shape[0]}"
            )
    fitted = ImageOps.fit(plain, (width, height), Image.Resampling.BOX)
    return _to_images(fitted.convert("L").convert("RGB"))[:, :1]


def _to_images(plain: Image.Image) -> Images:
    pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
    out: Tensor = pixels.view(1, plain.height, plain.width, 3).permute(0, 3, 1, 2).float() / 255
    return out


def to_pil(image: Tensor) -> Image.Image:
    """A picture [3, H, W] in [0, 1] as 8-bit RGB, rounded to the nearest level."""
    return Image.fromarray(to_bytes(image).cpu().numpy(), "RGB")


@torch.no_grad()
def preview(image: Tensor, size: int) -> Image.Image:
    """A picture [3, H, W] in [0, 1] whose longer side is at most `size`; never enlarged."""
    height, width = image.shape[-2:]
    scale = min(1.0, size / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    return to_pil(resize(image[None].float(), small)[0])

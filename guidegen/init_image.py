"""Reading the picture that a run starts from."""

from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from guidegen.errors import InputImageError
from guidegen.interfaces import Images


def read_init(path: Path, size: tuple[int, int]) -> Images:
    """An init image [1, 3, H, W], scaled to cover the size and cropped at its centre."""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
    except FileNotFoundError:
        raise InputImageError(f"there is no init image at {path}") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputImageError(f"the init image {path} can't be read: {error}") from None
    plain = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    height, width = size
    scale = max(width / plain.width, height / plain.height)
    plain = plain.resize(
        (max(width, round(plain.width * scale)), max(height, round(plain.height * scale))),
        Image.Resampling.LANCZOS,
    )
    left, top = (plain.width - width) // 2, (plain.height - height) // 2
    plain = plain.crop((left, top, left + width, top + height))
    pixels = torch.frombuffer(bytearray(plain.tobytes()), dtype=torch.uint8)
    out: Tensor = pixels.view(1, height, width, 3).permute(0, 3, 1, 2).float() / 255
    return out

"""The picture."""

from PIL import Image
from torch import Tensor

from guidegen.ops import to_bytes


def to_pil(image: Tensor) -> Image.Image:
    """A picture [3, H, W] in [0, 1] as 8-bit RGB, rounded to the nearest level."""
    return Image.fromarray(to_bytes(image).cpu().numpy(), "RGB")

"""A limited palette: every pixel near to one of a few colours."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageColor
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import ConfigError, about
from guidegen.interfaces import Decoded, LossContext
from guidegen.media.decode import decode

# Ottosson's two matrices, rows times columns of colours.
_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
# Distances below this count ever less, so that the gradient does not jump at the colour itself.
_NEAR = 0.005
_MOST, _USUAL = 64, 6


@dataclass(frozen=True)
class Palette:
    """Mean distance of the pixels to the nearest colour, in units of OKLab (black to white is 1).

    Plain distance, not its square: that takes most pixels all the way and lets a few stay between.

    Attributes:
        colours: [K, 3], sRGB in [0, 1].
    """

    colours: Tensor

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images = decoded.images
        squares = distances(images, self.colours.to(images)).amin(1)
        return ((squares + _NEAR**2).sqrt() - _NEAR).mean((1, 2))


def distances(images: Tensor, colours: Tensor) -> Tensor:
    """Squared distances [B, K, H, W] in OKLab of pictures [B, 3, H, W] to colours [K, 3]."""
    pixels = oklab(images)
    wanted = oklab(colours[..., None, None])
    return torch.stack([(pixels - colour).square().sum(1) for colour in wanted], 1)


def oklab(images: Tensor) -> Tensor:
    """Pictures [B, 3, H, W], sRGB in [0, 1], in OKLab, where equal distances look equal.

    Source: Ottosson 2020, "A perceptual color space for image processing"
    (bottosson.github.io/posts/oklab).
    """
    linear = torch.where(
        images <= 0.04045, images / 12.92, ((images.clamp(min=0) + 0.055) / 1.055) ** 2.4
    )
    cones = torch.einsum("ij,bjhw->bihw", images.new_tensor(_LMS), linear)
    # the cube root's gradient is infinite at black
    return torch.einsum("ij,bjhw->bihw", images.new_tensor(_LAB), cones.clamp(min=1e-5) ** (1 / 3))


def read_colours(options: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """The colours that options name, 0 to 255.

    Args:
        options: "colours" (names and hex numbers with commas between them) or "picture" (a path),
            whose "count" commonest colours are taken.

    Raises:
        GuidegenError: neither or both, a colour that is none, or a picture that can't be read.
    """
    with about("loss_option"):
        if bool(options["colours"]) == bool(options["picture"]):
            raise ConfigError(
                "a palette needs its colours, like palette.colours=navy,red,#ffe0a0, or "
                "palette.picture=PATH to take them from; one of the two"
            )
        if options["picture"]:
            return colours_of(Path(options["picture"]), options["count"])
        return _named(options["colours"])


def read_palette(text: str) -> list[tuple[int, int, int]]:
    """The colours of `--palette`: names and numbers, or the six commonest of a picture.

    Args:
        text: "navy,crimson,#f6e7c1", or the path of a picture.

    Raises:
        GuidegenError: a colour that is none, or a picture that can't be read.
    """
    with suppress(OSError, ValueError):
        if Path(text).is_file():
            return colours_of(Path(text), _USUAL)
    return _named(text)


def _named(text: str) -> list[tuple[int, int, int]]:
    colours = [parse_colour(part.strip()) for part in text.split(",")]
    if not 2 <= len(set(colours)) <= _MOST:
        raise ConfigError(f"a palette has 2 to {_MOST} different colours")
    return list(dict.fromkeys(colours))


def parse_colour(text: str) -> tuple[int, int, int]:
    """A colour by its name in CSS or its number, "#ffe0a0", 0 to 255.

    Raises:
        ConfigError: it is none.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no colour; write a name of CSS, like navy, or a number, like #ffe0a0"
        ) from None
    return red, green, blue


def colours_of(path: Path, count: int) -> list[tuple[int, int, int]]:
    """The colours that stand for a picture's best: median cut, then k-means.

    Args:
        path: of the picture.
        count: of colours; a plain picture has fewer.

    Raises:
        InputImageError: it can't be read.
    """
    picture = decode(path, "picture of the palette")
    picture.thumbnail((256, 256), Image.Resampling.BOX)
    few = picture.quantize(count, Image.Quantize.MEDIANCUT, kmeans=8, dither=Image.Dither.NONE)
    numbers: Sequence[int] = few.getpalette() or ()
    used = sorted({int(index) for index in few.tobytes()})
    return [(numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2]) for i in used]


def build(info: LossInfo, context: LossContext) -> Palette:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Palette(torch.tensor(read_colours(context.options)) / 255)

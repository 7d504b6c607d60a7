"""Where things lie: mirror images, pictures that can be laid beside themselves, plain borders."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import about
from guidegen.guidance.losses.palette import parse_colour
from guidegen.interfaces import Decoded, LossContext

# Name of an axis -> the dimensions along which the picture is reversed, each a comparison.
_FLIPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "left-right": ((-1,),),
    "up-down": ((-2,),),
    "both": ((-1,), (-2,)),
    "half-turn": ((-2, -1),),
}
# How often the picture is halved to compare its borders at coarser scales.
_SCALES = 4


@dataclass(frozen=True)
class Symmetry:
    """Mean absolute difference of a picture and its mirror image, 0 to 1.

    Attributes:
        flips: dimensions along which it is reversed, for each comparison; the mean counts.
    """

    flips: tuple[tuple[int, ...], ...]

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images = decoded.images
        apart = [(images - images.flip(dims)).abs().mean((1, 2, 3)) for dims in self.flips]
        return torch.stack(apart).mean(0)


@dataclass(frozen=True)
class Seamless:
    """How much a picture breaks where its right border meets its left one, and the lower the upper.

    Mean absolute second difference of the lines beside the seam, at four scales. A second
    difference is zero where the colour goes on rising or falling as it did, so that a seam may lie
    within a gradient or a stroke.
    """

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images, breaks = decoded.images, []
        for scale in range(_SCALES):
            if scale:
                images = F.avg_pool2d(images, 2)
            if min(images.shape[-2:]) < 4:
                break
            breaks += [_break(images), _break(images.transpose(-1, -2))]
        return torch.stack(breaks).mean(0)


def _break(images: Tensor) -> Tensor:
    """Mean absolute second difference [B] of the columns beside the seam."""
    columns = torch.cat([images[..., -2:], images[..., :2]], -1)
    return columns.diff(n=2, dim=-1).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Background:
    """Mean absolute distance from one colour, counted more the nearer a pixel is to the border.

    0 to 1. Every crop of a picture would like the prompt in it; this keeps the thing away from
    where only the background belongs.

    Attributes:
        colour: [3], RGB in [0, 1]; None is the picture's own, the mean of what counts.
        reach: distance from the centre where a pixel begins to count, where the middles of the
            sides are at 1; it rises to a full count there.
    """

    colour: Tensor | None
    reach: float

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images = decoded.images
        height, width = images.shape[-2:]
        weights = border_weights(height, width, self.reach).to(images)
        if self.colour is None:
            plain = (images * weights).sum((2, 3), keepdim=True)
        else:
            plain = self.colour.to(images)[:, None, None]
        return ((images - plain).abs().mean(1) * weights).sum((1, 2))


@lru_cache(maxsize=4)  # a run has one size, or doubles it a few times
def border_weights(height: int, width: int, reach: float) -> Tensor:
    """How much each pixel counts [height, width]; together 1."""
    y = (torch.arange(height) + 0.5) * (2 / height) - 1
    x = (torch.arange(width) + 0.5) * (2 / width) - 1
    away = (y.square()[:, None] + x.square()).sqrt()
    weights = ((away - reach) / (1 - reach)).clamp(0, 1)
    return weights / weights.sum()


def build_symmetry(info: LossInfo, context: LossContext) -> Symmetry:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Symmetry(_FLIPS[context.options["axis"]])


def build_seamless(info: LossInfo, context: LossContext) -> Seamless:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Seamless()


def check_background(options: Mapping[str, Any]) -> None:
    """Refuse a colour that is none."""
    with about("loss_option"):
        _colour(options)


def _colour(options: Mapping[str, Any]) -> Tensor | None:
    named = options["colour"]
    return torch.tensor(parse_colour(named)) / 255 if named else None


def build_background(info: LossInfo, context: LossContext) -> Background:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Background(_colour(context.options), context.options["reach"])

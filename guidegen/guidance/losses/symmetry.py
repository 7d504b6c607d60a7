"""Pictures that equal their mirror image, and pictures that can be laid beside themselves."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.backend import LossInfo
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


def build_symmetry(info: LossInfo, context: LossContext) -> Symmetry:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Symmetry(_FLIPS[context.options["axis"]])


def build_seamless(info: LossInfo, context: LossContext) -> Seamless:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Seamless()

"""A plain background: one thing in its place rather than a picture filled with parts of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import about
from guidegen.guidance.losses.palette import parse_colour
from guidegen.interfaces import Decoded, LossContext


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


def border_weights(height: int, width: int, reach: float) -> Tensor:
    """How much each pixel counts [height, width]; together 1."""
    y = (torch.arange(height) + 0.5) * (2 / height) - 1
    x = (torch.arange(width) + 0.5) * (2 / width) - 1
    away = (y.square()[:, None] + x.square()).sqrt()
    weights = ((away - reach) / (1 - reach)).clamp(0, 1)
    return weights / weights.sum()


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

"""How lively colours are, and how near to black and white."""

from dataclasses import dataclass

import torch
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import ConfigError
from guidegen.interfaces import Decoded, LossContext


@dataclass(frozen=True)
class Saturation:
    """One minus the mean saturation: 0 where every pixel is a pure colour, 1 where all are grey.

    A pixel's saturation is the standard deviation of its three channels, as a part of that of pure
    red.
    """

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images = decoded.images
        away = images - images.mean(1, keepdim=True)
        # the root's gradient is infinite at grey: stay a hair off
        saturation = (away.square().mean(1) + 1e-6).sqrt() * (3 / 2**0.5)
        return 1 - saturation.mean((1, 2))


@dataclass(frozen=True)
class Range:
    """Mean squared part of each channel that lies beyond a range, 0 to 1.

    Attributes:
        low: of the range; what is darker counts.
        high: of the range; what is lighter counts.
    """

    low: float
    high: float

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        beyond = decoded.images - decoded.images.clamp(self.low, self.high)
        return beyond.square().mean((1, 2, 3))


def lightness(images: Tensor) -> Tensor:
    """Luma [B, 1, H, W] of pictures [B, 3, H, W], by Rec. 709's weights."""
    weights = images.new_tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)
    return torch.sum(images * weights, 1, keepdim=True)


def build_saturation(info: LossInfo, context: LossContext) -> Saturation:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Saturation()


def check_range(options: dict[str, float]) -> None:
    """Refuse an empty range."""
    if options["low"] >= options["high"]:
        low, high = options["low"], options["high"]
        raise ConfigError(
            f"range.low must be below range.high, not {low:g} and {high:g}", field="loss_option"
        )


def build_range(info: LossInfo, context: LossContext) -> Range:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Range(context.options["low"], context.options["high"])

"""Nearness of the latents to where the run began."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.interfaces import Decoded, Latents, LossContext
from guidegen.ops import floating, rows


@dataclass(frozen=True)
class NearStart:
    """Mean squared distance of the floating latents to the start.

    Attributes:
        start: the start of all candidates [B, ...]; empty before the run begins, when there is
            nothing to be near to and the loss is zero.

    Source: repository nerdyrodent/VQGAN-CLIP, `init_weight`.
    """

    start: Latents = field(default_factory=dict)

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        if not self.start:
            return decoded.images.new_zeros(len(decoded.images))
        span = slice(decoded.candidates.start, decoded.candidates.stop)
        return mean_square(decoded.latents, rows(self.start, span))

    def begin(self, latents: Latents) -> "NearStart":
        """See `guidegen.interfaces.Anchored`."""
        start = {name: value.detach().clone() for name, value in floating(latents).items()}
        return replace(self, start=start)

    def resume(self, state: Latents) -> "NearStart":
        """See `guidegen.interfaces.Anchored`."""
        return replace(self, start=state)

    def state(self) -> Latents:
        """The start."""
        return self.start


def mean_square(latents: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> Tensor:
    """Mean squared distance [B] of the floating latents to others, over all their numbers."""
    differences = [
        (value - start[name]).flatten(1)
        for name, value in latents.items()
        if value.is_floating_point()
    ]
    return torch.cat(differences, 1).square().mean(1)


def build(info: LossInfo, context: LossContext) -> NearStart:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return NearStart()

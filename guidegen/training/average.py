"""The average of a network's weights over its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WarmAverage(AveragedModel):
    """Exponential average that forgets its first steps sooner.

    torch's own asks the device, for each weight, how many steps it has seen; this one never waits
    for it, and averages all weights at once.

    Args:
        model: copied.
        decay: a step's share of the average before it, once there are many.
        use_buffers: average the buffers, too; otherwise, and where they are whole numbers, they
            are taken as they are.
    """

    module: nn.Module
    n_averaged: Tensor

    def __init__(self, model: nn.Module, decay: float, *, use_buffers: bool = False) -> None:
        super().__init__(model, use_buffers=use_buffers)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Count the weights of one more step."""
        seen = int(self.n_averaged)  # on the CPU
        new = 1.0 if seen == 0 else 1 - min(self.decay, (1 + seen) / (10 + seen))
        ours: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(model.parameters())
        for kept, current in zip(self.module.buffers(), model.buffers(), strict=True):
            if self.use_buffers and kept.is_floating_point():
                ours.append(kept)
                theirs.append(current)
            else:
                kept.copy_(current)
        torch._foreach_lerp_(ours, theirs, new)
        self.n_averaged += 1

"""The average of a training's weights over its last steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def warm_averages(decay: float) -> Callable[[Any, Any, Tensor | int], None]:
    """Exponential averages that forget their first steps sooner, as `multi_avg_fn`.

    Whole numbers are taken over as they are.
    """

    @torch.no_grad()
    def average(means: Any, currents: Any, count: Tensor | int) -> None:
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, currents, _share(decay, int(count)))
        else:
            torch._foreach_copy_(means, currents)

    return average


def _share(decay: float, count: int) -> float:
    return 1 - min(decay, (1 + count) / (10 + count))

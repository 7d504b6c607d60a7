"""Learning-rate schedules, as factors for `torch.optim.lr_scheduler.LambdaLR`."""

from __future__ import annotations

import math
from collections.abc import Callable

from guidegen.training.pace import Pace


def warmup_cosine(steps: int, *, warmup: int, floor: float = 0.02) -> Callable[[float], float]:
    """Linear warm-up, then half a cosine from 1 down to `floor` at `steps`."""

    def factor(step: float) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2

    return factor


def paced(pace: Pace) -> Callable[[int], float]:
    """Warm-up over 100 steps (a quarter of a short training), then a cosine to the way's end."""
    factor = warmup_cosine(pace.steps, warmup=min(100, pace.steps // 4 + 1))
    return lambda step: factor(pace.at(step))

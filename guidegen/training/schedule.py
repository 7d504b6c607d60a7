"""Learning-rate schedules, as factors for `torch.optim.lr_scheduler.LambdaLR`."""

from __future__ import annotations

import math
from collections.abc import Callable


def warmup_cosine(steps: int, *, warmup: int, floor: float = 0.02) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine from 1 down to `floor` at `steps`."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2

    return factor

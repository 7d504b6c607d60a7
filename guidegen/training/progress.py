"""What a training tells while it runs: a bar with running means of its losses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from torch import Tensor
from tqdm import tqdm

Losses = Mapping[str, "Tensor | float"]
"""By name; tensors of one number stay on their device until they are looked at."""

_SECONDS = 5.0  # between two looks: each waits for the device


def running_means(
    steps: Iterator[Losses], *, done: int, total: int | None, name: str
) -> Iterator[Losses]:
    """Follow a training on a bar; yields, after each step, the means of its losses so far.

    Args:
        steps: the losses of each step.
        done: how many steps an earlier call made.
        total: all steps, where that is known.
        name: of the bar.
    """
    means: dict[str, Tensor | float] = {}
    bar = tqdm(steps, initial=done, total=total, desc=name, unit="step", mininterval=_SECONDS)
    shown = -_SECONDS
    for losses in bar:
        for key, loss in losses.items():
            means[key] = 0.98 * means.get(key, loss) + 0.02 * loss
        if time.monotonic() - shown >= _SECONDS:
            bar.set_postfix({k: f"{float(v):.3f}" for k, v in means.items()}, refresh=False)
            shown = time.monotonic()
        yield means

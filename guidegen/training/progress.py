"""What a training tells while it runs: a bar with running means of its losses."""

from __future__ import annotations

from collections.abc import Iterator

from tqdm import tqdm


def running_means(
    steps: Iterator[dict[str, float]], *, done: int, total: int, name: str
) -> Iterator[dict[str, float]]:
    """Follow a training on a bar; yields, after each step, the means of its losses so far.

    Args:
        steps: the losses of each step.
        done: how many steps an earlier call made.
        total: all steps.
        name: of the bar.
    """
    means: dict[str, float] = {}
    bar = tqdm(steps, initial=done, total=total, desc=name, unit="step", mininterval=5)
    for losses in bar:
        for key, loss in losses.items():
            means[key] = 0.98 * means.get(key, loss) + 0.02 * loss
        bar.set_postfix({k: f"{v:.3f}" for k, v in means.items()}, refresh=False)
        yield means

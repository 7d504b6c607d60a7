"""Adversarial pictures: the nearest pictures that a tower gets wrong, within an L2 ball.

Source: Madry et al. 2018, arXiv:1706.06083 (projected gradient ascent, random start).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def l2_attack(
    images: Tensor,
    loss: Callable[[Tensor], Tensor],
    eps: Tensor,
    *,
    steps: int,
    rng: torch.Generator,
    step_size: float | None = None,
) -> Tensor:
    """Move pictures uphill on a loss, each at most `eps` away, and never out of [0, 1].

    Args:
        images: RGB [n, 3, H, W] in [0, 1].
        loss: maps such pictures to [n] or to a scalar.
        eps: [n], L2 norm over the whole picture in [0, 1].
        steps: gradient steps.
        rng: of the random start inside the ball, drawn on its device.
        step_size: as a share of eps; by default 1.2 for one step, else 2.5 / steps.

    Returns:
        Pictures as `images`, without a graph.
    """
    size = step_size or (1.2 if steps == 1 else 2.5 / steps)
    ball = eps.to(images.device).view(-1, 1, 1, 1)
    start = torch.randn(images.shape, generator=rng, device=rng.device).to(images.device)
    radius = torch.rand(len(images), 1, 1, 1, generator=rng, device=rng.device).to(images.device)
    delta = start / _norms(start) * ball * radius
    for _ in range(steps):
        delta.requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(images + delta).sum(), delta)
        with torch.no_grad():
            moved = delta + gradient / _norms(gradient) * ball * size
            moved = moved * (ball / _norms(moved)).clamp(max=1)
            delta = (images + moved).clamp(0, 1) - images
    hard: Tensor = (images + delta).detach()
    return hard


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = x.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
    return norms

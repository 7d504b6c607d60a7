"""How far apart unit vectors are. All differentiable."""

from collections.abc import Callable

import torch
from torch import Tensor


def spherical_distance(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared great-circle angle, 2·arcsin²(‖x − y‖ / 2); 0 to π²/2.

    Its gradient does not fade while the vectors are still far apart, as the cosine's does.

    Shape:
        x, y: [..., d], unit norm, broadcastable; result [...].

    Source: K. Crowson's VQGAN+CLIP notebook (2021), `spherical_dist_loss`.
    """
    # the norm's gradient is infinite at 0 and arcsin's at 1: stay a hair inside
    chord = (x - y).square().sum(-1).clamp(1e-12, 4.0 - 1e-6).sqrt()
    return 2.0 * torch.asin(chord / 2.0).square()


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 − x·y; 0 to 2. Shapes as `spherical_distance`."""
    return 1.0 - (x * y).sum(-1)


def big_sleep_distance(x: Tensor, y: Tensor) -> Tensor:
    """−100·x·y; −100 to 100. Shapes as `spherical_distance`.

    Source: repository lucidrains/big-sleep, `BigSleep.sim_txt_to_img` with its `loss_coef` of 100.
    """
    return -100.0 * (x * y).sum(-1)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "spherical": spherical_distance,
    "cosine": cosine_distance,
    "big-sleep": big_sleep_distance,
}

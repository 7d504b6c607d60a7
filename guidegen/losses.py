"""How far apart unit vectors are, and penalties on images. All differentiable."""

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


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "spherical": spherical_distance,
    "cosine": cosine_distance,
}


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, [B, 3, H, W] -> [B].

    Source: Mahendran & Vedaldi 2015 (arXiv:1412.0035), section 2.
    """
    down = (images[..., 1:, :] - images[..., :-1, :]).square().mean((1, 2, 3))
    right = (images[..., :, 1:] - images[..., :, :-1]).square().mean((1, 2, 3))
    return down + right

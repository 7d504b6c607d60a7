"""Pictures that no caption fits, for losses that need none.

Guidance leads a tower to pictures that no drawing is like. There it is only as good as what it
learnt of such pictures, so some are made up: patchworks of two, in wrong colours, with smooth
blotches over them.

Source of the patchworks: Yun et al. 2019, CutMix (arXiv:1905.04899), here with soft borders.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.training.data.scenes import uniform

_CELLS = 5  # of a patchwork and of blotches, along a side


def mixtures(images: Tensor, rng: torch.Generator) -> Tensor:
    """As many pictures, each made of two.

    Args:
        images: RGB [n, 3, H, W] in [0, 1], on the generator's device.
        rng: of everything random.

    Returns:
        The like.
    """
    n, side = len(images), images.shape[-1]
    other = images[torch.randperm(n, generator=rng, device=rng.device)]

    def smooth(channels: int) -> Tensor:
        shape = (n, channels, _CELLS, _CELLS)
        coarse = torch.randn(shape, generator=rng, device=rng.device)
        return F.interpolate(coarse, (side, side), mode="bicubic")

    sharp = uniform((n, 1, 1, 1), 0.0, 3.5, rng).exp()  # from a mean of both to cut-out patches
    mask = (smooth(1) * sharp).sigmoid()
    blotches = smooth(3) * uniform((n, 1, 1, 1), -0.15, 0.25, rng).clamp(min=0)
    both = images * mask + other * (1 - mask) + blotches
    turned = torch.einsum("nij,njhw->nihw", _turns(n, rng), both)
    contrast = uniform((n, 1, 1, 1), 0.6, 1.6, rng)
    return ((turned - 0.5) * contrast + 0.5).clamp(0, 1)


def _turns(n: int, rng: torch.Generator) -> Tensor:
    """Rotations [n, 3, 3] of RGB about the axis of greys, half of them by any angle."""
    angle = uniform((n, 1, 1), -math.pi, math.pi, rng)
    angle = angle * (uniform((n, 1, 1), 0, 1, rng) < 0.5)
    grey = torch.full((3, 3), 1 / 3, device=rng.device)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=rng.device) / math.sqrt(3)
    eye = torch.eye(3, device=rng.device)
    return angle.cos() * eye + (1 - angle.cos()) * grey + angle.sin() * across

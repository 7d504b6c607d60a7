"""Nearest codebook rows: by lookup, never through a one-hot matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.ops import straight_through

_AT_ONCE = 1 << 24  # distances in memory: 64 MiB


def nearest(rows: Tensor, codebook: Tensor, squares: Tensor | None = None) -> Tensor:
    """Index of the codebook row nearest to each row.

    Args:
        rows: [N, C].
        codebook: [K, C], float32.
        squares: [K], sums of the squares of its rows, where the caller keeps them.

    Returns:
        int64 [N]. All in float32: in half precision near rows are mistaken for one another.
    """
    if squares is None:
        squares = codebook.square().sum(1)
    parts = []
    with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
        for part in rows.detach().float().split(max(1, _AT_ONCE // len(codebook))):
            # |z - e|² without |z|², which is the same for every e
            parts.append(torch.addmm(squares, part, codebook.T, alpha=-2).argmin(1))
    return torch.cat(parts)


def codes_of(z: Tensor, codebook: Tensor, squares: Tensor | None = None) -> Tensor:
    """Codes [B, h, w] of latents [B, C, h, w]."""
    b, c, h, w = z.shape
    return nearest(z.permute(0, 2, 3, 1).reshape(-1, c), codebook, squares).view(b, h, w)


def embed(codes: Tensor, codebook: Tensor) -> Tensor:
    """Codebook rows [B, C, h, w] of codes [B, h, w]."""
    return F.embedding(codes, codebook).permute(0, 3, 1, 2)


def quantise(z: Tensor, codebook: Tensor, squares: Tensor | None = None) -> Tensor:
    """Nearest rows forward, the identity backward: [B, C, h, w] to the same.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), section 3.2.
    """
    return straight_through(embed(codes_of(z, codebook, squares), codebook), z)

"""A VQGAN's latents as a sum of grids of several scales, so that coarse shapes move first.

A CLIP's gradient says something else to each code of a fine grid, and the picture ends in speckles
of their size. A coarser grid beside it, enlarged and added before quantisation, takes the share on
which neighbours agree; Adam moves each of its few numbers as far in a step as one of the many.

Source: the idea is that of `pyramid` (Fort & Whitaker 2025, arXiv:2502.07753), here for codes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.interfaces import Latents

FINEST = "z"


class Scales:
    """The grids of one VQGAN: `z` is the finest, `z-N` has an N-th of its sides.

    Args:
        grid: (height, width) of the finest, in codes.
        count: how many, each half as fine as the one before; 1 is the finest alone.
    """

    def __init__(self, grid: tuple[int, int], count: int) -> None:
        self.grid = grid
        factors = (2**k for k in range(1, count))
        self.coarse = {f"{FINEST}-{n}": self.coarser(n) for n in factors}

    def coarser(self, factor: int) -> tuple[int, int]:
        """The grid with a `factor`-th of the sides, at least one code."""
        height, width = (max(1, -(-side // factor)) for side in self.grid)
        return height, width

    def split(self, z: Tensor) -> Latents:
        """Latents whose sum is `z` [B, C, h, w]; the coarser grids are 0."""
        batch, channels = z.shape[:2]
        coarse = {name: z.new_zeros(batch, channels, *grid) for name, grid in self.coarse.items()}
        return {FINEST: z, **coarse}

    def total(self, latents: Latents) -> Tensor:
        """The sum [B, C, h, w] of all grids."""
        z = latents[FINEST]
        for name in self.coarse:
            z = z + self.enlarged(latents[name])
        return z

    def enlarged(self, z: Tensor) -> Tensor:
        """A coarser grid [B, C, ., .] at the finest's size, bicubic."""
        parts = z.split(1)  # one by one: a kernel's low bits depend on the batch
        return torch.cat([F.interpolate(part, self.grid, mode="bicubic") for part in parts])

"""Pictures that a VQGAN learns from: cut-outs on backgrounds; batch k follows from seed and k."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from guidegen.training.data import scenes
from guidegen.training.device import sent


class CleanScenes:
    """Draws batches from cut-outs held in memory, without the noise and blur that CLIP is shown.

    Args:
        cutouts: RGBA uint8 [n, S, S, 4].
        seed: of everything random.
        pairs: share of pictures that show two things.
        device: where the cut-outs are held and the pictures composed. Random numbers are drawn on
            the CPU, so that a batch shows the same everywhere.
    """

    def __init__(
        self,
        cutouts: NDArray[np.uint8],
        *,
        seed: int,
        pairs: float = 0.3,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.cutouts = torch.from_numpy(cutouts).to(self.device)
        self.opaque = torch.from_numpy((cutouts[:, ::8, ::8, 3] > 250).all((1, 2)))
        self.seed, self.pairs = seed, pairs

    def batch(self, step: int, n: int, size: int) -> Tensor:
        """The `step`-th batch: RGB [n, 3, size, size] in [0, 1], on the device."""
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        drawn = torch.randint(0, len(self.cutouts), (n,), generator=rng)
        canvas = self._backgrounds(n, size, rng)
        paired = int((torch.rand(n, generator=rng) < self.pairs).sum())
        single = n - paired
        mirror = torch.ones(n, dtype=torch.bool)
        if single:
            rows = drawn[:single]
            where = scenes.random_placement(mirror[:single], self.opaque[rows], rng)
            canvas[:single] = scenes.over(self._draw(rows, where, size, rng), canvas[:single])
        if paired:
            second = torch.randint(0, len(self.cutouts), (paired,), generator=rng)
            rows = torch.cat((drawn[single:], second))
            upright = torch.rand(paired, generator=rng) < 0.5
            where = scenes.pair_placement(upright, torch.ones(2 * paired, dtype=torch.bool), rng)
            layers = self._draw(rows, where, size, rng)
            scene = scenes.over(layers[:paired], canvas[single:])
            canvas[single:] = scenes.over(layers[paired:], scene)
        return canvas.clamp(0, 1)

    def _draw(
        self, rows: Tensor, where: scenes.Placement, size: int, rng: torch.Generator
    ) -> Tensor:
        stretch = scenes.uniform((len(rows), 2), 0.85, 1.15, rng)
        return scenes.place(self.cutouts[sent(rows, self.device)], where, size, stretch)

    def _backgrounds(self, n: int, size: int, rng: torch.Generator) -> Tensor:
        """White, plain, smooth in two to nine cells, or another cut-out seen from very near."""
        kind = torch.rand(n, generator=rng)
        colour = torch.randint(1, len(scenes.COLOUR_NAMES), (n,), generator=rng)
        colour[kind < 0.25] = 0
        plain = sent(scenes.plain_backgrounds(colour, 1, rng), self.device)
        canvas = plain.repeat(1, 1, size, size)
        for low, cells in ((0.45, 2), (0.65, 3), (0.8, 9)):
            rows = (kind > low).nonzero().flatten()
            if len(rows):
                coarse = sent(torch.rand(len(rows), 3, cells, cells, generator=rng), self.device)
                canvas[sent(rows, self.device)] = F.interpolate(
                    coarse, (size, size), mode="bilinear", align_corners=True
                )
        near = (kind > 0.9).nonzero().flatten()
        if len(near):
            rows = torch.randint(0, len(self.cutouts), (len(near),), generator=rng)
            layers = self._draw(rows, scenes.near_placement(len(near), rng), size, rng)
            behind = sent(near, self.device)
            canvas[behind] = scenes.over(layers, canvas[behind])
        return canvas

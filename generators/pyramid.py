"""A picture as the sum of layers of every scale: coarse shapes first, detail where it helps.

The gradient at the pixels alone fits a CLIP by fine texture. Shared out over layers of all
resolutions, most of every step goes into coarse shapes, which no CLIP takes for noise.

Source: Fort & Whitaker 2025, "Direct Ascent Synthesis: Revealing Hidden Generative Capabilities in
Discriminative Models" (arXiv:2502.07753); repository stanislavfort/Direct_Ascent_Synthesis. Differs
in decorrelated colours, a logistic squashing, a learning rate for each scale and, by default, in
octaves in place of every side.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference, Vocabulary
from guidegen.ops import decorrelated_colours, resize

# Factors of lightness, blue-orange and green-magenta: livelier than natural images' (1, .35, .2).
_COLOURS = (1.0, 0.45, 0.3)
_CONTRAST = 2.2
# Pictures are the logistic function of the sum; values nearer to 0 or 1 are encoded as this near.
_EDGE = 0.004
_PAPER, _GREY = 0.8, 0.5
# Layers of at most this part of the picture's sides are enlarged as matrix products.
_COARSE = 1 / 8
# Total variation of the layers (mean absolute difference of neighbours, in units of the sum).
_SMOOTH = 0.15


class Pyramid:
    """Latents: `layer-N` [B, 3, h, w] for each scale N, where N is the shorter of h and w.

    The finest has the picture's own size. A layer counts with its rate, so that one learning rate
    of the loop moves the scales at different speeds.

    Args:
        info: the card.
        size: (height, width).
        device: where it computes.
        scales: "octaves" (each side twice the one before) or "all" (every side from 1 up).
        start: "paper" (nearly white) or "grey", with faint blotches; or "noise" of all scales.
        saturation: factor of the two planes of colour.
        detail: rate of the finest layer; the coarsest has 1, those between lie on a power law.
    """

    vocabulary: Vocabulary | None = None
    digest = ""

    def __init__(
        self,
        info: GeneratorInfo,
        size: tuple[int, int],
        device: str,
        *,
        scales: str = "octaves",
        start: str = "paper",
        saturation: float = 1.0,
        detail: float = 0.5,
    ) -> None:
        self.info, self.size, self.device, self.start = info, size, device, start
        shorter = min(size)
        self.grids = {side: _grid(side, size) for side in layer_sides(shorter, scales)}
        fall = math.log(detail) / math.log(shorter)
        self.rates = {side: side**fall for side in self.grids}
        light, *chroma = _COLOURS
        # colours of saturation 0 do not change at all, but an encoded picture still keeps its own
        colourful = max(saturation, 1e-3)
        self.colours = decorrelated_colours(
            (light, chroma[0] * colourful, chroma[1] * colourful)
        ).to(device)
        self._back = torch.linalg.inv(self.colours.double()).float()
        self._ways = {grid: self._way(grid) for grid in self.grids.values()}

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Plain paper or grey, with noise in the layers by the candidate's own RNG."""
        plain = _PAPER if self.start == "paper" else _GREY
        latents = self.encode(torch.full((batch, 3, *self.size), plain))
        for b, rng in enumerate(rngs[:batch]):
            for side, (height, width) in self.grids.items():
                noise = torch.randn(3, height, width, generator=rng)
                latents[_name(side)][b] += self._strength(side) * noise.to(self.device)
        return latents

    def _strength(self, side: int) -> float:
        """Deviation of the start's noise in a layer."""
        if self.start == "noise":
            return float(0.3 / self.rates[side] / math.sqrt(side))
        # blotches that no eye sees: enough for every seed to end in another picture
        return 0.03 if 1 < side <= 8 else 0.0

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """Layers enlarged, summed and squashed; another `size` is an antialiased resampling."""
        planes: Tensor | None = None
        for side in self.grids:
            layer = self._enlarged(latents[_name(side)] * self.rates[side])
            planes = layer if planes is None else planes + layer
        assert planes is not None
        images = torch.sigmoid(_CONTRAST * torch.einsum("rc,bchw->brhw", self.colours, planes))
        return resize(images, size or self.size)

    def constrain_(self, latents: Latents) -> None:
        """Any layers are feasible."""

    def prior(self, latents: Latents) -> Tensor:
        """Total variation of the layers [B], which is no less than the picture's own."""
        whole = torch.zeros(len(latents[_name(min(self.grids))]), device=self.device)
        for side, rate in self.rates.items():
            layer = latents[_name(side)] * (rate * side / min(self.size))
            for step in (layer.diff(dim=-1), layer.diff(dim=-2)):
                if step.numel():
                    whole = whole + step.abs().mean((1, 2, 3))
        return _SMOOTH * whole

    def encode(self, images: Images) -> Latents:
        """Each layer holds what the coarser ones leave over, so the sum is the picture.

        Exact within rounding, but for values within 0.004 of 0 and 1.
        """
        images = resize(images.to(self.device), self.size).clamp(_EDGE, 1 - _EDGE)
        rest = torch.einsum("cr,brhw->bchw", self._back, torch.logit(images) / _CONTRAST)
        latents = {}
        for side, grid in self.grids.items():
            layer = rest if grid == self.size else F.interpolate(rest, grid, mode="area")
            rest = rest - self._enlarged(layer)
            latents[_name(side)] = (layer / self.rates[side]).contiguous()
        return latents

    def _enlarged(self, layer: Tensor) -> Tensor:
        """A layer [B, 3, h, w] at the picture's size, bicubic."""
        way = self._ways[layer.shape[-2], layer.shape[-1]]
        if layer.shape[-2:] == self.size:
            return layer
        if way is None:
            return F.interpolate(layer, self.size, mode="bicubic", align_corners=False)
        down, across = way
        # one by one: a kernel's low bits depend on the batch
        return torch.stack([down @ (one @ across.T) for one in layer])

    def _way(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor] | None:
        """Matrices [H, h] and [W, w] that enlarge a layer, where they are the quicker way.

        A kernel that reads sixteen numbers for each pixel takes as long for the coarsest layer as
        for the finest.
        """
        if any(few > _COARSE * many for few, many in zip(grid, self.size, strict=True)):
            return None
        down, across = (
            F.interpolate(torch.eye(few)[None, None], (many, few), mode="bicubic")[0, 0]
            for few, many in zip(grid, self.size, strict=True)
        )
        return down.to(self.device), across.to(self.device)


def layer_sides(shorter: int, scales: str) -> list[int]:
    """Shorter sides of the layers, rising to that of the picture.

    Args:
        shorter: of the picture's sides, in pixels.
        scales: "octaves" or "all".
    """
    if scales == "all":
        return list(range(1, shorter + 1))
    sides = [shorter]
    while sides[-1] > 1:
        sides.append(-(-sides[-1] // 2))
    return sides[::-1]


def _grid(side: int, size: tuple[int, int]) -> tuple[int, int]:
    shorter = min(size)
    height, width = (max(1, round(length * side / shorter)) for length in size)
    return height, width


def _name(side: int) -> str:
    return f"layer-{side}"


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, Any],
) -> Pyramid:
    """Entry point; see `guidegen.backend.Backend`."""
    return Pyramid(info, size, device, **options)

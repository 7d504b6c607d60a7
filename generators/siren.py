"""A network of the coordinates: colour as a function of place, drawn at any size.

Source: Sitzmann et al. 2020, "Implicit Neural Representations with Periodic Activation Functions"
(arXiv:2006.09661); guided by CLIP in repository lucidrains/deep-daze.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference, Vocabulary
from guidegen.ops import decorrelated_colours

_COLOURS = (1.0, 0.45, 0.3)
_CONTRAST = 2.0


class Siren:
    """Latents, for each layer N: `weight-N` [B, in, out] and `bias-N` [B, out].

    They are in units of their own spread at the start, so that one learning rate suits all.

    Args:
        info: the card.
        size: (height, width).
        device: where it computes.
        width: numbers of a hidden layer.
        depth: hidden layers.
        detail: highest frequency at the start, in waves along the shorter side.
    """

    vocabulary: Vocabulary | None = None
    digest = ""

    def __init__(
        self,
        info: GeneratorInfo,
        size: tuple[int, int],
        device: str,
        *,
        width: int = 64,
        depth: int = 4,
        detail: float = 5.0,
    ) -> None:
        self.info, self.size, self.device = info, size, device
        self.layers = [2, *[width] * depth, 3]
        # of the first layer in radians for coordinates in [-1, 1]; of the others as published
        self.spreads = [math.pi * detail / 3**0.5] + [2**0.5 / n**0.5 for n in self.layers[1:-1]]
        self.colours = decorrelated_colours(_COLOURS).to(device)

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Random waves, as Sitzmann et al. draw them."""
        drawn = [self._draw(rng) for rng in rngs[:batch]]
        return {n: torch.stack([one[n] for one in drawn]).to(self.device) for n in drawn[0]}

    def _draw(self, rng: torch.Generator) -> Latents:
        latents = {}
        for number, (before, after) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            latents[f"weight-{number}"] = torch.randn(before, after, generator=rng)
            latents[f"bias-{number}"] = math.pi * (2 * torch.rand(after, generator=rng) - 1)
        latents[f"bias-{len(self.layers) - 2}"].zero_()
        return latents

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """The function's colours at the middles of the pixels, at any size."""
        height, width = size or self.size
        places = self._places(height, width)
        # one by one: a kernel's low bits depend on the batch
        images = [
            self._colours({name: value[b] for name, value in latents.items()}, places)
            for b in range(len(latents["bias-0"]))
        ]
        return torch.stack(images).view(-1, height, width, 3).permute(0, 3, 1, 2)

    def _places(self, height: int, width: int) -> Tensor:
        """[H·W, 2] coordinates; the shorter side of the picture goes from -1 to 1."""
        shorter = min(self.size)
        tall, wide = self.size[0] / shorter, self.size[1] / shorter
        y = ((torch.arange(height, device=self.device) + 0.5) / height * 2 - 1) * tall
        x = ((torch.arange(width, device=self.device) + 0.5) / width * 2 - 1) * wide
        return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).view(-1, 2)

    def _colours(self, latents: Latents, places: Tensor) -> Tensor:
        """[n, 3] in [0, 1] of places [n, 2]."""
        values = places
        last = len(self.spreads) - 1
        for number, spread in enumerate(self.spreads):
            values = values @ (spread * latents[f"weight-{number}"]) + latents[f"bias-{number}"]
            if number < last:
                values = values.sin()
        return torch.sigmoid(_CONTRAST * values @ self.colours.T)

    def constrain_(self, latents: Latents) -> None:
        """Any network is feasible."""

    def prior(self, latents: Latents) -> Tensor:
        """None."""
        return torch.zeros(len(latents["bias-0"]), device=self.device)


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, Any],
) -> Siren:
    """Entry point; see `guidegen.backend.Backend`."""
    return Siren(info, size, device, **options)

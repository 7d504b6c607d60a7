"""A network of the coordinates: colour as a function of place, drawn at any size.

Source: Sitzmann et al. 2020, "Implicit Neural Representations with Periodic Activation Functions"
(arXiv:2006.09661); guided by CLIP in repository lucidrains/deep-daze.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference, Vocabulary
from guidegen.ops import decorrelated_colours

_COLOURS = (1.0, 0.45, 0.3)
_CONTRAST = 2.0
# Numbers of all layers up to which they are kept for the backward pass, 256 MiB; larger pictures
# are drawn in parts of so many, whose layers are computed again.
_MOST_KEPT, _PART = 2**26, 2**23

Draw: TypeAlias = Callable[[Latents, Tensor], Tensor]


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
            self._in_parts({name: value[b] for name, value in latents.items()}, places)
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

    def _in_parts(self, latents: Latents, places: Tensor) -> Tensor:
        """`_colours`, in memory that does not grow with the number of places."""
        each = 2 * sum(self.layers)
        if each * len(places) <= _MOST_KEPT:
            return self._colours(latents, places)
        parts = places.split(max(1, _PART // each))
        drawn: Tensor = _InParts.apply(self._colours, parts, list(latents), *latents.values())
        return drawn

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


class _InParts(torch.autograd.Function):
    """Draws places part by part; backward each part is drawn again, with what its gradient needs.

    Like `torch.utils.checkpoint`, but all parts are written into one tensor: between parts that are
    kept, glibc before 2.38 does not use memory again.
    """

    @staticmethod
    def forward(
        ctx: Any, draw: Draw, parts: Sequence[Tensor], names: Sequence[str], *values: Tensor
    ) -> Tensor:
        ctx.draw, ctx.parts, ctx.names = draw, parts, names
        ctx.save_for_backward(*values)
        latents = dict(zip(names, values, strict=True))
        drawn = parts[0].new_empty(sum(map(len, parts)), 3)
        for part, out in zip(parts, drawn.split(len(parts[0])), strict=True):
            out.copy_(draw(latents, part))
        return drawn

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        leaves = [value.detach().requires_grad_() for value in ctx.saved_tensors]
        latents = dict(zip(ctx.names, leaves, strict=True))
        for part, grad in zip(ctx.parts, grads[0].split(len(ctx.parts[0])), strict=True):
            with torch.enable_grad():
                drawn = ctx.draw(latents, part)
            drawn.backward(grad)
        return None, None, None, *(leaf.grad for leaf in leaves)


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

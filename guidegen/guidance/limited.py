"""Pictures whose every pixel is one of a few colours.

The loss `palette` pulls pixels towards colours; here they are these colours, from the first step
on, so CLIP judges what will be seen.
"""

from typing import Any

import torch
from torch import Tensor

from guidegen.guidance.losses.palette import distances
from guidegen.interfaces import Draws, Encodes, Generator, Images, Latents, Mixes, Proposes
from guidegen.ops import straight_through

# Squared distance in OKLab over which the gradient mixes colours: a tenth of black to white.
_SOFTNESS = 0.01
# What only some generators can.
_ABILITIES: dict[type, str] = {Encodes: "encode", Proposes: "propose", Mixes: "mix", Draws: "svg"}


class Limited:
    """A generator whose pictures are drawn in a palette.

    Forward a pixel has the nearest colour, backward the gradient of the colours' mixture by their
    distances. Everything but `decode` is the generator's own.

    Args:
        generator: draws.
        colours: [K, 3], sRGB in [0, 1].
    """

    def __init__(self, generator: Generator, colours: Tensor) -> None:
        self.generator, self.colours = generator, colours
        # since Python 3.12 isinstance does not ask __getattr__ for what a protocol wants
        for ability, method in _ABILITIES.items():
            if isinstance(generator, ability):
                setattr(self, method, getattr(generator, method))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """The generator's picture in the colours of the palette."""
        return snapped(self.generator.decode(latents, size=size), self.colours)


def snapped(images: Images, colours: Tensor) -> Images:
    """Pictures [B, 3, H, W] in colours [K, 3] only."""
    colours = colours.to(images)
    apart = distances(images, colours)
    shares = torch.softmax(-apart / _SOFTNESS, 1)
    soft = torch.einsum("bkhw,kc->bchw", shares, colours)
    hard = colours[apart.argmin(1)].permute(0, 3, 1, 2)
    return straight_through(hard, soft)

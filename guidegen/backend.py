"""What a generator backend tells about itself before anything heavy is imported. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Defaults:
    """Settings of the loop that suit one generator; the user's own always win.

    Attributes:
        steps: optimiser steps.
        lr: learning rate.
        cutouts: crops that CLIP sees in each step.
        starts: starts that are drawn and scored; the best is optimised.
        noise: highest standard deviation of the noise added to each cutout, in units of [0, 1].
    """

    steps: int = 200
    lr: float = 0.05
    cutouts: int = 32
    starts: int = 1
    noise: float = 0.1


@dataclass(frozen=True)
class GeneratorInfo:
    """One line of `guidegen generators`.

    Attributes:
        name: `backend` or `backend/variant`, as `--generator` takes it.
        summary: what it makes, in a few words.
        sizes: (smallest, largest) side in pixels.
        multiple: sides must be a multiple of this.
        default_size: side in pixels where none is asked for.
        latents: name -> shape of one candidate, as text for people.
        licence: of the weights or patches.
        source: where the method comes from (paper or repository).
        encodes: whether it can start from an image.
        defaults: settings of the loop.
    """

    name: str
    summary: str
    sizes: tuple[int, int]
    default_size: int
    multiple: int = 1
    latents: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    encodes: bool = False
    defaults: Defaults = Defaults()


@dataclass(frozen=True)
class Backend:
    """What an entry point of the group `guidegen.generators` names.

    Attributes:
        name: the part of `--generator` before the slash.
        variants: variant name ("" for the default) -> its card.
        target: `module:callable`; called as `callable(info, size=(height, width), device=...)`
            it returns a `guidegen.interfaces.Generator`.
    """

    name: str
    variants: Mapping[str, GeneratorInfo]
    target: str

    def load(self, variant: str, *, size: tuple[int, int], device: str) -> Any:
        """Import the backend and build the generator of one variant."""
        module, _, attribute = self.target.partition(":")
        build = getattr(import_module(module), attribute)
        return build(self.variants[variant], size=size, device=device)

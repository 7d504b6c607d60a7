"""A generator that changes a part of what another one does."""

from collections.abc import Sequence

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces.generator import Generator, Images, Latents, Preference, Vocabulary


class Wrapped:
    """Another generator, but for what a subclass changes. It encodes only if the subclass does.

    Args:
        generator: the other one.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.info: GeneratorInfo = generator.info
        self.size = generator.size
        self.digest = generator.digest
        self.vocabulary: Vocabulary | None = generator.vocabulary
        self.arithmetic = getattr(generator, "arithmetic", None)

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """As the generator."""
        return self.generator.init(batch, rngs=rngs, preference=preference)

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """As the generator."""
        return self.generator.decode(latents, size=size)

    def constrain_(self, latents: Latents) -> None:
        """As the generator."""
        self.generator.constrain_(latents)

    def prior(self, latents: Latents) -> Tensor:
        """As the generator."""
        return self.generator.prior(latents)

"""Where the latents of a batch start: drawn, encoded from a picture, or laid by another generator.

With `start_from` another generator draws the starts and the one that is optimised encodes them:
a collage lays the scene and a pyramid or a VQGAN paints over it. The other generator only draws,
without steps of its own, so best of N compares what the run will begin with.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Encodes, Generator, Images, Latents, Preference, Vocabulary
from guidegen.ops import rows


class StartFrom:
    """A generator whose starts are encoded pictures of another one.

    Args:
        generator: what is optimised; it can encode.
        first: draws the starts, at the same size.
    """

    def __init__(self, generator: Generator, first: Generator) -> None:
        self.generator, self.first = generator, first
        self.info: GeneratorInfo = generator.info
        self.size = generator.size
        self.digest = generator.digest
        self.vocabulary: Vocabulary | None = first.vocabulary

    @torch.no_grad()
    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """The other generator's starts, encoded one by one."""
        assert isinstance(self.generator, Encodes)
        drawn = self.first.init(batch, rngs=rngs, preference=preference)
        self.first.constrain_(drawn)
        encoded = [
            self.generator.encode(
                self.first.decode(rows(drawn, slice(row, row + 1)), size=self.size)
            )
            for row in range(batch)
        ]
        return {name: torch.cat([one[name] for one in encoded]) for name in encoded[0]}

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """As the generator that is optimised."""
        return self.generator.decode(latents, size=size)

    def constrain_(self, latents: Latents) -> None:
        """As the generator that is optimised."""
        self.generator.constrain_(latents)

    def prior(self, latents: Latents) -> Tensor:
        """As the generator that is optimised."""
        return self.generator.prior(latents)

"""Where the latents of a batch start: drawn, encoded from a picture, or laid by another generator.

With `start_from` another generator draws the starts and the one that is optimised encodes them:
a collage lays the scene and a pyramid or a VQGAN paints over it. The other generator only draws,
without steps of its own, so best of N compares what the run will begin with.
"""

from collections.abc import Sequence

import torch

from guidegen.interfaces import Encodes, Generator, Latents, Preference
from guidegen.interfaces.wrapped import Wrapped
from guidegen.ops import joined, rows


class StartFrom(Wrapped):
    """A generator whose starts are encoded pictures of another one.

    Args:
        generator: what is optimised; it can encode.
        first: draws the starts, at the same size.
    """

    def __init__(self, generator: Generator, first: Generator) -> None:
        super().__init__(generator)
        self.first, self.vocabulary = first, first.vocabulary

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
        return joined(encoded)

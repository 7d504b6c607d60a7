"""The generator's own regulariser."""

from dataclasses import dataclass

from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.interfaces import Decoded, Generator, LossContext


@dataclass(frozen=True)
class GeneratorPrior:
    """What `Generator.prior` says of the latents."""

    generator: Generator

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        return self.generator.prior(decoded.latents)


def build(info: LossInfo, context: LossContext) -> GeneratorPrior:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return GeneratorPrior(context.generator)

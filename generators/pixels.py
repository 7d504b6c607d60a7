"""The image is the latent: the plainest generator, and the template for writing another."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference, Vocabulary
from guidegen.ops import clamp_with_grad, resize


class Pixels:
    """Latents: `pixels` [B, 3, H, W] in [0, 1].

    Source: Simonyan, Vedaldi & Zisserman 2014 (arXiv:1312.6034), section 2.
    """

    vocabulary: Vocabulary | None = None
    digest = ""

    def __init__(self, info: GeneratorInfo, size: tuple[int, int], device: str) -> None:
        self.info, self.size, self.device = info, size, device

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Grey with a little noise, so that no pixel starts at a bound."""
        drawn = [torch.randn(3, *self.size, generator=rng) for rng in rngs[:batch]]
        return {"pixels": (0.5 + 0.05 * torch.stack(drawn)).to(self.device)}

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """The pixels themselves; another `size` is an antialiased resampling."""
        return resize(clamp_with_grad(latents["pixels"]), size or self.size)

    def constrain_(self, latents: Latents) -> None:
        """Keep every pixel in [0, 1]."""
        latents["pixels"].data.clamp_(0, 1)

    def prior(self, latents: Latents) -> Tensor:
        """None."""
        return torch.zeros(len(latents["pixels"]), device=self.device)

    def encode(self, images: Images) -> Latents:
        """The image at this generator's size."""
        return {"pixels": resize(images, self.size).clamp(0, 1).to(self.device)}


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, object],
) -> Pixels:
    """Entry point; see `guidegen.backend.Backend`."""
    return Pixels(info, size, device)

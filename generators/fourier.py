"""Fourier coefficients as the latent: the same gradient reaches all spatial frequencies alike.

Source: Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017
(doi:10.23915/distill.00007), section "Preconditioning and Parameterization".
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference, Vocabulary
from guidegen.ops import decorrelated_colours, resize

_SCALES = (1.0, 0.35, 0.2)
_CONTRAST = 1.6


class Fourier:
    """Latents: `spectrum` [B, 3, H, W//2 + 1, 2], real and imaginary part, whitened by 1/f."""

    vocabulary: Vocabulary | None = None
    digest = ""

    def __init__(self, info: GeneratorInfo, size: tuple[int, int], device: str) -> None:
        self.info, self.size, self.device = info, size, device
        height, width = size
        fy = torch.fft.fftfreq(height)[:, None] * height
        fx = torch.fft.rfftfreq(width)[None] * width
        # natural images' amplitudes fall as 1/f; the mean (f = 0) is treated as f = 1
        frequency = (fy.square() + fx.square()).sqrt().clamp(min=1.0)
        self.amplitude = (1.0 / frequency).to(device)
        self.colours = decorrelated_colours(_SCALES).to(device)

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Faint noise of natural statistics."""
        shape = (3, self.size[0], self.size[1] // 2 + 1, 2)
        drawn = [0.1 * torch.randn(shape, generator=rng) for rng in rngs[:batch]]
        return {"spectrum": torch.stack(drawn).to(self.device)}

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """Inverse FFT, colours mixed, sigmoid; another `size` is an antialiased resampling."""
        spectrum = torch.view_as_complex(latents["spectrum"].contiguous()) * self.amplitude
        # norm: one unit of a coefficient moves pixels alike at every size
        scale = (self.size[0] * self.size[1]) * _CONTRAST / 4
        planes = torch.fft.irfft2(spectrum, s=self.size) * scale
        images = torch.sigmoid(torch.einsum("rc,bchw->brhw", self.colours, planes))
        return resize(images, size or self.size)

    def constrain_(self, latents: Latents) -> None:
        """Any spectrum is feasible."""

    def prior(self, latents: Latents) -> Tensor:
        """None."""
        return torch.zeros(len(latents["spectrum"]), device=self.device)

    def encode(self, images: Images) -> Latents:
        """The exact inverse of `decode`, but for values at 0 and 1, which become 0.01 and 0.99."""
        images = resize(images, self.size).to(self.device)
        planes = torch.einsum(
            "rc,brhw->bchw",
            torch.linalg.pinv(self.colours).T,
            torch.logit(images.clamp(0.01, 0.99)),
        )
        scale = (self.size[0] * self.size[1]) * _CONTRAST / 4
        spectrum = torch.fft.rfft2(planes / scale) / self.amplitude
        return {"spectrum": torch.view_as_real(spectrum).contiguous()}


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, object],
) -> Fourier:
    """Entry point; see `guidegen.backend.Backend`."""
    return Fourier(info, size, device)

"""VQGAN: pictures from a grid of codebook entries, one for each f x f pixels.

Taming-transformers' modules with the latents, quantisation and constraint of VQGAN-CLIP.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from generators.vqgan.modules import VQModules, load, workload
from generators.vqgan.quantise import codes_of, embed, quantise
from generators.vqgan.scales import FINEST, Scales
from generators.vqgan.starts import SMOOTH, random_codes, random_picture
from guidegen.backend import GeneratorInfo
from guidegen.errors import ConfigError
from guidegen.interfaces import Images, Latents, Preference, Vocabulary
from guidegen.ops import clamp_with_grad, resize
from guidegen.precision import autocast, generator_arithmetic
from guidegen.weights.store import Stored, stored


class VQGAN:
    """Latents: `z` [B, C, h, w], before quantisation; a picture is f·h x f·w pixels.

    With the option `scales`, `z` is the finest of several grids that are summed; see `Scales`.

    Decoding takes the nearest codebook row of each cell and passes the gradient straight through.
    Quantiser and latents are float32 whatever the precision of the convolutions.

    Source: Crowson et al. 2022, VQGAN-CLIP (arXiv:2204.08583); repository nerdyrodent/VQGAN-CLIP.
    Differs from the latter in encoding with a GumbelVQ, which there is random even in evaluation:
    here the most probable code is taken.
    """

    vocabulary: Vocabulary | None = None

    def __init__(
        self,
        info: GeneratorInfo,
        model: Stored,
        *,
        size: tuple[int, int],
        device: str,
        precision: str = "auto",
        options: Mapping[str, Any],
    ) -> None:
        self.info, self.size, self.device = info, size, torch.device(device)
        self.digest = model.sha256
        self.start = str(options["start"])
        modules = load(model)
        self.arithmetic = generator_arithmetic(
            precision,
            self.device,
            module="VQGAN",
            shapes=f"{size[1]}x{size[0]} px, {modules.width} channels",
            workload=partial(workload, modules, self.device),
        )
        self.dtype = self.arithmetic.dtype
        self.factor = modules.factor
        if any(side % self.factor for side in size):
            raise ConfigError(
                f"{info.name} needs sides that are multiples of {self.factor}, "
                f"not {size[1]}x{size[0]}"
            )
        self.grid = (size[0] // self.factor, size[1] // self.factor)
        self.scales = Scales(self.grid, options["scales"])
        self.modules: VQModules = (
            modules.cast(self.dtype).to(self.device).to(memory_format=torch.channels_last)
        )
        self.codebook = modules.codebook.float()
        self._squares = self.codebook.square().sum(1)
        shape = (1, -1, 1, 1)
        self._low = self.codebook.amin(0).view(shape)
        self._high = self.codebook.amax(0).view(shape)

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Random codes, or an encoded picture: what the option `start` says."""
        if self.start in ("codes", "smooth"):
            grid = self.grid if self.start == "codes" else self.scales.coarser(SMOOTH)
            codes = [random_codes(len(self.codebook), grid, rng) for rng in rngs[:batch]]
            z = embed(torch.stack(codes).to(self.device), self.codebook)
            if grid != self.grid:
                z = quantise(self.scales.enlarged(z), self.codebook, self._squares)
            return self.scales.split(z.contiguous())
        pictures = [random_picture(self.start, self.size, rng) for rng in rngs[:batch]]
        return self.encode(torch.stack(pictures))

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """Pictures at this generator's size; another `size` is an antialiased resampling."""
        z = self.scales.total(latents)
        # on a CPU a kernel's order of summation depends on the batch, and one by one costs the same
        parts = z.split(1) if self.device.type == "cpu" else (z,)
        images = torch.cat([self._decode(part) for part in parts])
        return resize(images, size or self.size)

    def constrain_(self, latents: Latents) -> None:
        """Keep every channel within the codebook's smallest and largest value.

        Of several grids that is their sum, and the finest gives way.
        """
        with torch.no_grad():
            z = self.scales.total(latents)
            inside = z.maximum(self._low).minimum(self._high)
        finest = latents[FINEST].data
        if self.scales.coarse:
            finest.add_(inside - z)
        else:
            finest.copy_(inside)

    def prior(self, latents: Latents) -> Tensor:
        """None."""
        return torch.zeros(len(latents[FINEST]), device=self.device)

    @torch.no_grad()
    def encode(self, images: Images) -> Latents:
        """Quantised latents of pictures, as VQGAN-CLIP starts from them.

        A VQModel takes the nearest code of each cell, a GumbelVQ the most probable one.
        """
        images = resize(images.to(self.device), self.size)
        parts = images.split(1) if self.device.type == "cpu" else (images,)
        return self.scales.split(torch.cat([self._encode(part) for part in parts]).contiguous())

    def _decode(self, z: Tensor) -> Images:
        quantised = quantise(z, self.codebook, self._squares)
        with autocast(self.device, self.dtype):
            out = self.modules.decoder(self.modules.post_quant_conv(quantised))
        return clamp_with_grad((out.float() + 1) / 2)

    def _encode(self, images: Images) -> Tensor:
        x = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.dtype):
            h = self.modules.quant_conv(self.modules.encoder(x)).float()
        if self.modules.gumbel:
            codes = self.modules.quantize.proj(h).argmax(1)
        else:
            codes = codes_of(h, self.codebook, self._squares)
        return embed(codes, self.codebook)


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, Any],
) -> VQGAN:
    """Entry point; see `guidegen.backend.Backend`.

    Raises:
        WeightsError: the weights are not here, have changed or do not fit their config.
        ConfigError: a size or precision that it can't do.
    """
    return VQGAN(
        info, stored(info.name), size=size, device=device, precision=precision, options=options
    )

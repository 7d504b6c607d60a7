"""Detail: how sharp a picture is, where its outlines run, how rough its latents are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import ConfigError, about
from guidegen.guidance.losses.colour import lightness
from guidegen.interfaces import Decoded, LossContext
from guidegen.media.decode import decode
from guidegen.media.images import read_init

_SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
_LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Sharpness:
    """Minus the mean absolute Laplacian of lightness, -8 to 0; about -0.05 for a photograph.

    Noise is sharp too: small weights, late in the run, and with `tv` beside it.
    """

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        return -_filtered(lightness(decoded.images), _LAPLACE).abs().mean((1, 2, 3))


@dataclass(frozen=True)
class Edges:
    """One minus the cosine of two maps of edge strength, 0 to 1: the picture's and a model's.

    What is between the outlines is free, and so is their contrast. The maps are blurred a little,
    so that an outline that lies a pixel or two beside the model's still feels it.

    Attributes:
        model: the model's map, [1, 1, h, w], of unit length.
    """

    model: Tensor

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        own = edge_map(decoded.images).flatten(1)
        model = self.model.to(own)
        if model.shape[-2:] != decoded.images.shape[-2:]:
            model = F.interpolate(model, decoded.images.shape[-2:], mode="bilinear")
        return 1 - F.cosine_similarity(own, model.flatten(1), dim=1)


@dataclass(frozen=True)
class LatentVariation:
    """Mean absolute difference of neighbours in the latents that are laid out as a picture."""

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        parts = []
        for value in grids(decoded.latents).values():
            steps = [value.diff(dim=-1), value.diff(dim=-2)]
            parts += [step.abs().mean((1, 2, 3)) for step in steps if step.numel()]
        return torch.stack(parts).mean(0)


def grids(latents: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The floating latents [B, C, h, w] of more than one place."""
    return {
        name: value
        for name, value in latents.items()
        if value.is_floating_point() and value.dim() == 4 and max(value.shape[-2:]) > 1
    }


def edge_map(images: Tensor) -> Tensor:
    """Strength of edges [B, 1, H, W] by Sobel's filters, slightly blurred."""
    light = lightness(images)
    across = _filtered(light, _SOBEL)
    down = _filtered(light.transpose(-1, -2), _SOBEL).transpose(-1, -2)
    # the root's gradient is infinite where there is no edge
    strength = (across.square() + down.square() + 1e-6).sqrt()
    return F.avg_pool2d(F.pad(strength, (2, 2, 2, 2), mode="replicate"), 5, stride=1)


def _filtered(light: Tensor, kernel: tuple[tuple[float, ...], ...]) -> Tensor:
    padded = F.pad(light, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, light.new_tensor(kernel)[None, None])


def build_sharpness(info: LossInfo, context: LossContext) -> Sharpness:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Sharpness()


def build_smooth(info: LossInfo, context: LossContext) -> LatentVariation:
    """Entry point; see `guidegen.backend.LossInfo`.

    Raises:
        ConfigError: the generator's latents have no neighbours.
    """
    generator = context.generator
    if not grids(generator.init(1, rngs=[torch.Generator()])):
        raise ConfigError(
            f"no latent of {generator.info.name} is laid out as a picture, so none can be smooth; "
            "leave smooth out, or take tv, which smooths the picture",
            field="loss",
        )
    return LatentVariation()


def check_edges(options: Mapping[str, Any]) -> None:
    """Refuse a picture that is not named or can't be read."""
    with about("loss_option"):
        if not options["picture"]:
            raise ConfigError("edges needs a picture whose outlines to follow: edges.picture=PATH")
        decode(Path(options["picture"]), "picture of the edges")


def build_edges(info: LossInfo, context: LossContext) -> Edges:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return Edges(edge_map(read_init(Path(context.options["picture"]), context.generator.size)))

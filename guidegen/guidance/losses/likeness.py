"""Nearness to a picture, as CLIP sees both or pixel by pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import ConfigError, about
from guidegen.interfaces import Decoded, Images, LossContext, Perceptor
from guidegen.media.decode import decode
from guidegen.media.images import read_init
from guidegen.ops import scale_gradient

# A power of two, which changes no digit but keeps fp16's small gradients from zero.
_SCALE = 1024.0


@dataclass(frozen=True)
class LikeInClip:
    """One minus the mean cosine of matching parts of two pictures, 0 to 2.

    An image prompt compares the prompt's picture with every random view, so the thing may stand
    anywhere. Here each part of the picture is compared with the same part of the other, so it
    stays where it is.

    Attributes:
        parts: how many squares lie along the shorter side; besides them the whole picture counts.
        perceptors: with weights that sum to one.
        model: name of a perceptor -> features [n, d] of the other picture's parts.
    """

    parts: int
    perceptors: Sequence[tuple[Perceptor, float]]
    model: Mapping[str, Tensor]

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images = decoded.images
        whole = images.new_zeros(len(images))
        for perceptor, weight in self.perceptors:
            parts = squares(scale_gradient(images, 1 / _SCALE), self.parts, perceptor.input_size)
            seen = scale_gradient(perceptor.encode_image(parts), _SCALE)
            model = self.model[perceptor.name]
            cosines = (seen.view(len(images), len(model), -1) * model).sum(-1)
            whole = whole + weight * (1 - cosines.mean(1))
        return whole


@dataclass(frozen=True)
class LikeInPixels:
    """Mean squared difference of two pictures, 0 to 1.

    Attributes:
        model: the other picture, [1, 3, h, w].
    """

    model: Images

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        images, model = decoded.images, self.model.to(decoded.images)
        if model.shape[-2:] != images.shape[-2:]:
            model = F.interpolate(model, images.shape[-2:], mode="area")
        return (images - model).square().mean((1, 2, 3))


def squares(images: Images, parts: int, size: int) -> Images:
    """The whole picture and squares that cover it, picture by picture.

    Args:
        images: [B, 3, H, W].
        parts: squares along the shorter side; with more than one they overlap by half.
        size: side in pixels at which they are returned.

    Returns:
        [B·n, 3, size, size].
    """
    height, width = images.shape[-2:]
    side = min(height, width) if parts == 1 else round(min(height, width) * 2 / (parts + 1))
    cut = [images]
    for top in _places(height, side):
        for left in _places(width, side):
            cut.append(images[..., top : top + side, left : left + side])
    shown = [
        F.interpolate(part, (size, size), mode="bicubic", antialias=True, align_corners=False)
        for part in cut
    ]
    return torch.stack(shown, 1).flatten(0, 1)


def _places(length: int, side: int) -> list[int]:
    """Where squares begin that cover a length, at most half a side apart."""
    count = max(1, -(-2 * (length - side) // side) + 1) if length > side else 1
    return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]


def check(options: Mapping[str, Any]) -> None:
    """Refuse a picture that is not named or can't be read."""
    with about("loss_option"):
        if not options["picture"]:
            raise ConfigError("like needs the picture to be near to: like.picture=PATH")
        decode(Path(options["picture"]), "picture to be like")


@torch.no_grad()
def build(info: LossInfo, context: LossContext) -> LikeInClip | LikeInPixels:
    """Entry point; see `guidegen.backend.LossInfo`."""
    generator, parts = context.generator, context.options["parts"]
    picture = read_init(Path(context.options["picture"]), generator.size)
    if context.options["by"] == "pixels":
        return LikeInPixels(picture)
    model = {}
    for perceptor, _ in context.perceptors:
        device = perceptor.encode_text(["a"]).device
        model[perceptor.name] = perceptor.encode_image(
            squares(picture.to(device), parts, perceptor.input_size)
        )
    return LikeInClip(parts, context.perceptors, model)

"""FuseDream's augmentations: the whole picture, recoloured, shifted, resized and part-erased."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.cutouts.warping import of_each_view, owners, sampling_grid


@dataclass(frozen=True)
class DiffAugmentParameters:
    """The parameters of `n` views per candidate.

    Attributes:
        colour: [B, n, 3]: what is added to the brightness, factors of saturation and of contrast.
        shift: [B, n, 2] right and down, in parts of the picture.
        scale: [B, n] how much larger the picture is drawn.
        erased: [B, n, 2] middle of the erased square, 0 to 1 from left and from the top.
    """

    colour: Tensor
    shift: Tensor
    scale: Tensor
    erased: Tensor

    def rows(self, index: slice) -> "DiffAugmentParameters":
        """The views of some candidates."""
        return DiffAugmentParameters(
            self.colour[index], self.shift[index], self.scale[index], self.erased[index]
        )


@dataclass(frozen=True, kw_only=True)
class FuseDreamCutouts:
    """The whole picture, augmented for each view. What lies outside or is erased is mid-grey.

    Differs in that a shift and a resize make one resampling, in parts of a pixel, and in that each
    view draws its own scale, where FuseDream has one for all views of a step.

    Attributes:
        count: views per candidate and step.
        brightness: largest shift of the brightness, in units of [0, 1].
        saturation: largest factor of the distance to grey; the smallest is 0.
        contrast: smallest and largest factor of the distance to the mean.
        shift: largest move in parts of the picture.
        scale: smallest and largest size.
        erase: side of the erased square, in parts of the picture.

    Source: repository gnobitab/FuseDream, `AugmentLoss` and `DiffAugment_pytorch.py`, whose
    pictures are in [-1, 1]; Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN
    Training" (arXiv:2006.10738).
    """

    count: int = 50
    brightness: float = 0.25
    saturation: float = 2.0
    contrast: tuple[float, float] = (0.5, 1.5)
    shift: float = 0.125
    scale: tuple[float, float] = (0.8, 1.2)
    erase: float = 0.5

    def sample(
        self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
    ) -> DiffAugmentParameters:
        """Sample one step's views; see `guidegen.cutouts.Cutouts`."""
        numbers = torch.stack([torch.rand(self.count, 8, generator=rng) for rng in rngs])
        light, grey, contrast, right, down, scale, left, top = numbers.unbind(-1)
        low, high = self.contrast
        smallest, largest = self.scale
        colour = [
            (2 * light - 1) * self.brightness,
            grey * self.saturation,
            low + (high - low) * contrast,
        ]
        return DiffAugmentParameters(
            colour=torch.stack(colour, -1),
            shift=(2 * torch.stack([right, down], -1) - 1) * self.shift,
            scale=smallest + (largest - smallest) * scale,
            erased=torch.stack([left, top], -1),
        )

    def take(
        self,
        images: Tensor,
        parameters: DiffAugmentParameters,
        *,
        size: int,
        chunk: slice | None = None,
    ) -> Tensor:
        """Recolour, shift, resize, erase; see `guidegen.cutouts.Cutouts`."""
        batch, n = parameters.scale.shape
        chunk = chunk or slice(0, batch * n)
        # around grey, so that zeros are what lies outside
        small = F.interpolate(images, (size, size), mode="bilinear", antialias=True) - 0.5
        source = of_each_view(small, owners(batch, n, chunk))
        colour = parameters.colour.flatten(0, 1)[chunk].to(source).view(-1, 3, 1, 1, 1)
        out = source + colour[:, 0]
        grey = out.mean(1, keepdim=True)
        out = (out - grey) * colour[:, 1] + grey
        mean = out.mean((1, 2, 3), keepdim=True)
        out = (out - mean) * colour[:, 2] + mean
        warp = _warp(parameters.shift.flatten(0, 1)[chunk], parameters.scale.flatten()[chunk])
        out = F.grid_sample(out, sampling_grid(warp.to(out), size), align_corners=False)
        out = out * _kept(parameters.erased.flatten(0, 1)[chunk], self.erase, size).to(out)
        return out + 0.5


def _warp(shift: Tensor, scale: Tensor) -> Tensor:
    """Homographies [m, 3, 3], output to input coordinates: shifted first, then enlarged."""
    warp = torch.zeros(len(scale), 3, 3)
    warp[:, 0, 0] = warp[:, 1, 1] = 1 / scale
    warp[:, :2, 2] = -2 * shift
    warp[:, 2, 2] = 1
    return warp


def _kept(middle: Tensor, side: float, size: int) -> Tensor:
    """Masks [m, 1, S, S]: 0 within squares around middles [m, 2], 1 elsewhere."""
    place = (torch.arange(size) + 0.5) / size
    within = (place - middle[..., None]).abs() < side / 2
    return (~(within[:, 1, :, None] & within[:, 0, None, :])).float()[:, None]

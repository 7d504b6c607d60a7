"""big-sleep's cutouts: square crops, resized by the nearest pixel, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.cutouts.warping import of_each_view, owners


@dataclass(frozen=True)
class CropParameters:
    """The parameters of `n` crops per candidate.

    Attributes:
        side: [B, n] of the crop, as a part of the shorter image side.
        place: [B, n, 2] in [0, 1), where x and y lie within what the crop leaves free.
    """

    side: Tensor
    place: Tensor

    def rows(self, index: slice) -> "CropParameters":
        """The crops of some candidates."""
        return CropParameters(self.side[index], self.place[index])


@dataclass(frozen=True, kw_only=True)
class BigSleepCutouts:
    """Crops of side int(W·clip(N(.8, .3), .5, .95)) at whole pixels, uniformly placed.

    Attributes:
        count: crops per candidate and step.

    Source: repository lucidrains/big-sleep, `BigSleep.forward` and `rand_cutout` with their
    defaults (nearest, no centre bias).
    """

    count: int = 128

    def sample(
        self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
    ) -> CropParameters:
        """Sample one step's crops; see `guidegen.cutouts.Cutouts`."""
        sides, places = [], []
        for rng in rngs:
            sides.append((0.8 + 0.3 * torch.randn(self.count, generator=rng)).clamp(0.5, 0.95))
            places.append(torch.rand(self.count, 2, generator=rng))
        return CropParameters(torch.stack(sides), torch.stack(places))

    def take(
        self, images: Tensor, parameters: CropParameters, *, size: int, chunk: slice | None = None
    ) -> Tensor:
        """Cut and resize, all in one gather; equal to a crop and `F.interpolate(mode="nearest")`.

        See `guidegen.cutouts.Cutouts`.
        """
        batch, n = parameters.side.shape
        chunk = chunk or slice(0, batch * n)
        left, top, side = boxes(parameters, (images.shape[-2], images.shape[-1]))
        left, top, side = (part.flatten()[chunk] for part in (left, top, side))
        # F.interpolate's own arithmetic: float32, rounded down
        step = torch.arange(size, dtype=torch.float32)
        pixel = (step * (side.float() / size)[:, None]).floor().long()
        pixel = pixel.minimum(side[:, None] - 1)
        x = _coordinate(left[:, None] + pixel, images.shape[-1])
        y = _coordinate(top[:, None] + pixel, images.shape[-2])
        shape = (len(side), size, size)
        grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], -1)
        return F.grid_sample(
            of_each_view(images, owners(batch, n, chunk)),
            grid.to(images.device, images.dtype),
            mode="nearest",
            align_corners=False,
        )


def boxes(parameters: CropParameters, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Left, top and side of the crops in whole pixels, each [B, n], of images (height, width)."""
    height, width = size
    side = (parameters.side * min(height, width)).long()
    free = torch.stack([width - side, height - side], -1)
    place = (parameters.place * (free + 1)).long().minimum(free)
    return place[..., 0], place[..., 1], side


def _coordinate(pixel: Tensor, length: int) -> Tensor:
    """The middle of a pixel in `grid_sample`'s coordinates."""
    return (2 * pixel + 1).float() / length - 1

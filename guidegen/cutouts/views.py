"""Our own cutouts: overviews and crops, mirrored, turned and tilted a little, antialiased.

Each view is one homography of the image (crop, flip, small rotation, perspective) and is resampled
once, all views of all candidates in one batch. Every random number comes from the candidate's own
CPU generator, so a candidate's views do not depend on its neighbours or on the device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.cutouts.warping import jitter, matrix, sampling_grid


@dataclass(frozen=True, kw_only=True)
class CutoutSettings:
    """The method "views" and its ranges; see `guidegen.cutouts.Cutouts`.

    Attributes:
        count: views per candidate and step.
        overview: share of the views that show the whole image, so that composition counts.
        scale: smallest and largest crop side, as a part of the shorter image side.
        rotation: largest angle in degrees.
        perspective: largest tilt; 0.1 makes one edge about 10 % longer than its opposite.
        jitter: largest relative change of brightness, contrast and saturation.
        noise: highest standard deviation of the added noise; each view draws its own, U(0, noise).
    """

    count: int = 32
    overview: float = 0.5
    scale: tuple[float, float] = (0.5, 0.95)
    rotation: float = 8.0
    perspective: float = 0.1
    jitter: float = 0.1
    noise: float = 0.1

    def draw(self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0) -> "Views":
        """As `draw_views`."""
        return draw_views(self, rngs=rngs, size=size, aspect=aspect)

    def take(
        self, images: Tensor, drawn: "Views", *, size: int, chunk: slice | None = None
    ) -> Tensor:
        """As `take_views`."""
        return take_views(images, drawn, size=size, chunk=chunk)


@dataclass(frozen=True)
class Views:
    """The drawn parameters of `n` views per candidate.

    Attributes:
        warp: [B, n, 3, 3] output coordinates to image coordinates, both in [-1, 1].
        shrink: [B, n] crop side over the shorter image side.
        colour: [B, n, 3] factors of brightness, contrast and saturation.
        noise: [B, n, 3, S, S] ready to add, or None.
    """

    warp: Tensor
    shrink: Tensor
    colour: Tensor
    noise: Tensor | None

    def rows(self, index: slice) -> "Views":
        """The views of some candidates."""
        noise = None if self.noise is None else self.noise[index]
        return Views(self.warp[index], self.shrink[index], self.colour[index], noise)


def draw_views(
    settings: CutoutSettings, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
) -> Views:
    """Draw the views of one step.

    Args:
        settings: the ranges.
        rngs: one CPU generator per candidate.
        size: side S of the views in pixels; only the noise needs it.
        aspect: image width over height.
    """
    drawn = [_draw_one(settings, rng, size=size, aspect=aspect) for rng in rngs]
    return Views(
        warp=torch.stack([d.warp for d in drawn]),
        shrink=torch.stack([d.shrink for d in drawn]),
        colour=torch.stack([d.colour for d in drawn]),
        noise=None
        if settings.noise == 0
        else torch.stack([d.noise for d in drawn if d.noise is not None]),
    )


def _draw_one(settings: CutoutSettings, rng: torch.Generator, *, size: int, aspect: float) -> Views:
    n = settings.count
    u = torch.rand(n, 11, generator=rng)
    signed = u * 2 - 1
    low, high = settings.scale
    crop = low + (high - low) * u[:, 0]
    whole = torch.arange(n) < math.ceil(settings.overview * n)
    crop = torch.where(whole, torch.ones(n), crop)
    # half extents of the view in image coordinates; an overview takes in the longer side as well
    half_x = torch.where(whole, torch.ones(n), crop / max(aspect, 1.0))
    half_y = torch.where(whole, torch.ones(n), crop * min(aspect, 1.0))
    centre_x, centre_y = signed[:, 1] * (1 - half_x), signed[:, 2] * (1 - half_y)

    angle = torch.deg2rad(signed[:, 3] * settings.rotation)
    flip = torch.where(u[:, 4] < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros(n), torch.ones(n)
    rotate = matrix(cos * flip, -sin, zero, sin * flip, cos, zero, zero, zero, one)
    tilt = signed[:, 5:7] * settings.perspective
    tilted = matrix(one, zero, zero, zero, one, zero, tilt[:, 0], tilt[:, 1], one)
    place = matrix(half_x, zero, centre_x, zero, half_y, centre_y, zero, zero, one)

    noise = None
    if settings.noise:
        sigma = settings.noise * u[:, 10].view(n, 1, 1, 1)
        noise = sigma * torch.randn(n, 3, size, size, generator=rng)
    return Views(place @ rotate @ tilted, crop, 1 + settings.jitter * signed[:, 7:10], noise)


def take_views(images: Tensor, views: Views, *, size: int, chunk: slice | None = None) -> Tensor:
    """Resample the views, antialiased.

    Each view is read from the level of an image pyramid that is nearest to its own resolution, so
    that a large crop is not aliased and a small one not blurred.

    Args:
        images: [B, 3, H, W] in [0, 1].
        views: parameters of n views for each of the B images.
        size: side S of the views in pixels.
        chunk: which of the B·n views to take, candidate-major; None is all.

    Returns:
        [m, 3, S, S]; not clamped, since noise and jitter may leave [0, 1].
    """
    batch, n = views.warp.shape[:2]
    chunk = chunk or slice(0, batch * n)
    warp = views.warp.flatten(0, 1)[chunk].to(images.device)
    owner = torch.arange(batch).repeat_interleave(n)[chunk]
    ratio = views.shrink.flatten()[chunk] * min(images.shape[-2:]) / size
    level = (ratio.log2() + 0.5).floor().clamp(min=0).long()

    grid = sampling_grid(warp, size)
    out = images.new_empty(len(owner), 3, size, size)
    current = images
    for step in range(int(level.max()) + 1):
        if step:
            current = F.avg_pool2d(current, 2, ceil_mode=True, count_include_pad=False)
        index = (level == step).nonzero().squeeze(1)
        if len(index) == 0:
            continue
        source = current if batch == 1 else current[owner[index].to(images.device)]
        source = source.expand(len(index), -1, -1, -1)
        taken = F.grid_sample(
            source, grid[index.to(images.device)], padding_mode="reflection", align_corners=False
        )
        out = (
            taken if len(index) == len(owner) else out.index_copy(0, index.to(images.device), taken)
        )
    out = jitter(out, views.colour.flatten(0, 1)[chunk].to(images.device))
    if views.noise is not None:
        out = out + views.noise.flatten(0, 1)[chunk].to(images.device, out.dtype)
    return out

"""Our own cutouts: overviews and crops, mirrored, turned and tilted a little, antialiased.

Each view is one homography of the image (crop, flip, small rotation, perspective) and is resampled
once, all views of all candidates in one batch. Every random number comes from the candidate's own
CPU generator, so a candidate's views do not depend on its neighbours or on the device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.cutouts.noise import Noise, draw_noise, noise_of
from guidegen.cutouts.warping import jitter, matrix, of_each_view, owners, sampling_grid
from guidegen.cutouts.windows import sample_windows

# Pixels of a level times its views, above which a view is read from a window of it.
_WHOLE = 2**21
# Pixels of the shorter side above which a picture is made smaller smoothly.
_SMOOTH = 512


@dataclass(frozen=True, kw_only=True)
class CutoutSettings:
    """The method "views" and its ranges; see `guidegen.cutouts.Cutouts`.

    Attributes:
        count: views per candidate and step.
        overview: share of the views that show the whole image, so that composition counts.
        shift: how far an overview may lie from the middle, in parts of the image; its side is 2/3
            of that smaller than the image at least and twice as much larger at most. Beyond the
            edge the image is mirrored.
        scale: smallest and largest crop side, as a part of the shorter image side.
        rotation: largest angle in degrees.
        perspective: largest tilt; 0.1 makes one edge about 10 % longer than its opposite.
        jitter: largest relative change of brightness, contrast and saturation.
        noise: highest standard deviation of the added noise; each view draws its own, U(0, noise).
    """

    count: int = 32
    overview: float = 0.5
    shift: float = 0.0
    scale: tuple[float, float] = (0.5, 0.95)
    rotation: float = 8.0
    perspective: float = 0.1
    jitter: float = 0.1
    noise: float = 0.1

    def sample(
        self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
    ) -> "ViewParameters":
        """As `sample_views`."""
        return sample_views(self, rngs=rngs, size=size, aspect=aspect)

    def take(
        self, images: Tensor, parameters: "ViewParameters", *, size: int, chunk: slice | None = None
    ) -> Tensor:
        """As `take_views`."""
        return take_views(images, parameters, size=size, chunk=chunk)


@dataclass(frozen=True)
class ChangingCutouts:
    """Views whose sizes change in the course of a run; see `guidegen.cutouts.Cutouts`.

    Attributes:
        first: the views of the first step.
        last_scale: their smallest and largest crop side by the last step.
    """

    first: CutoutSettings
    last_scale: tuple[float, float]

    @property
    def count(self) -> int:
        """Views per candidate and step."""
        return self.first.count

    def at(self, progress: float) -> CutoutSettings:
        """The views when a share `progress` of the run is over, 0 to 1."""
        low, high = (
            begin + (end - begin) * progress
            for begin, end in zip(self.first.scale, self.last_scale, strict=True)
        )
        return replace(self.first, scale=(low, high))

    def sample(
        self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
    ) -> "ViewParameters":
        """Those of the first step."""
        return self.first.sample(rngs=rngs, size=size, aspect=aspect)

    def take(
        self, images: Tensor, parameters: "ViewParameters", *, size: int, chunk: slice | None = None
    ) -> Tensor:
        """As `take_views`."""
        return take_views(images, parameters, size=size, chunk=chunk)


@dataclass(frozen=True)
class ViewParameters:
    """The parameters of `n` views per candidate.

    Attributes:
        warp: [B, n, 3, 3] output coordinates to image coordinates, both in [-1, 1].
        shrink: [B, n] crop side over the shorter image side.
        colour: [B, n, 3] factors of brightness, contrast and saturation.
        noise: of each candidate's views, [n, 3, S, S]; None is none.
    """

    warp: Tensor
    shrink: Tensor
    colour: Tensor
    noise: Sequence[Noise] | None

    def rows(self, index: slice) -> "ViewParameters":
        """The views of some candidates."""
        noise = None if self.noise is None else self.noise[index]
        return ViewParameters(self.warp[index], self.shrink[index], self.colour[index], noise)


def sample_views(
    settings: CutoutSettings, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
) -> ViewParameters:
    """Sample the views of one step.

    Args:
        settings: the ranges.
        rngs: one CPU generator per candidate.
        size: side S of the views in pixels; only the noise needs it.
        aspect: image width over height.
    """
    each = [_sample_one(settings, rng, size=size, aspect=aspect) for rng in rngs]
    noise = [noise for one in each for noise in one.noise or ()]
    return ViewParameters(
        warp=torch.stack([one.warp for one in each]),
        shrink=torch.stack([one.shrink for one in each]),
        colour=torch.stack([one.colour for one in each]),
        noise=noise or None,
    )


class _Columns(NamedTuple):
    """What the columns of a candidate's random numbers [n, 11] decide, in [0, 1) or [-1, 1)."""

    crop: Tensor
    centre_x: Tensor
    centre_y: Tensor
    angle: Tensor
    flip: Tensor
    tilt_x: Tensor
    tilt_y: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    noise: Tensor


def _sample_one(
    settings: CutoutSettings, rng: torch.Generator, *, size: int, aspect: float
) -> ViewParameters:
    n = settings.count
    numbers = torch.rand(n, len(_Columns._fields), generator=rng)
    uniform, signed = _Columns(*numbers.unbind(1)), _Columns(*(numbers * 2 - 1).unbind(1))
    low, high = settings.scale
    crop = low + (high - low) * uniform.crop
    whole = torch.arange(n) < math.ceil(settings.overview * n)
    about = 1 + 2 * settings.shift * (4 * uniform.crop - 1) / 3
    crop = torch.where(whole, about, crop)
    # half extents of the view in image coordinates; an overview takes in the longer side as well
    half_x = torch.where(whole, about, crop / max(aspect, 1.0))
    half_y = torch.where(whole, about, crop * min(aspect, 1.0))
    far = torch.full((n,), 2 * settings.shift)  # coordinates go from -1 to 1
    centre_x = signed.centre_x * torch.where(whole, far, 1 - half_x)
    centre_y = signed.centre_y * torch.where(whole, far, 1 - half_y)

    angle = torch.deg2rad(signed.angle * settings.rotation)
    flip = torch.where(uniform.flip < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    zero, one = torch.zeros(n), torch.ones(n)
    rotate = matrix(cos * flip, -sin, zero, sin * flip, cos, zero, zero, zero, one)
    tilt_x, tilt_y = signed.tilt_x * settings.perspective, signed.tilt_y * settings.perspective
    tilt = matrix(one, zero, zero, zero, one, zero, tilt_x, tilt_y, one)
    place = matrix(half_x, zero, centre_x, zero, half_y, centre_y, zero, zero, one)

    colour = torch.stack([signed.brightness, signed.contrast, signed.saturation], 1)
    noise = None
    if settings.noise:
        noise = [draw_noise(settings.noise * uniform.noise, size, rng)]
    return ViewParameters(place @ rotate @ tilt, crop, 1 + settings.jitter * colour, noise)


def take_views(
    images: Tensor, parameters: ViewParameters, *, size: int, chunk: slice | None = None
) -> Tensor:
    """Resample the views, antialiased.

    Each view is read from the level of an image pyramid that is nearest to its own resolution, so
    that a large crop is not aliased and a small one not blurred.

    Args:
        images: [B, 3, H, W] in [0, 1].
        parameters: those of n views for each of the B images.
        size: side S of the views in pixels.
        chunk: which of the B·n views to take, candidate-major; None is all.

    Returns:
        [m, 3, S, S]; not clamped, since noise and jitter may leave [0, 1].
    """
    batch, n = parameters.warp.shape[:2]
    chunk = chunk or slice(0, batch * n)
    warp = parameters.warp.flatten(0, 1)[chunk].to(images.device)
    owner = owners(batch, n, chunk)
    ratio = parameters.shrink.flatten()[chunk] * min(images.shape[-2:]) / size
    level = (ratio.log2() + 0.5).floor().clamp(min=0).long()

    grid = sampling_grid(warp, size)
    out = images.new_empty(len(owner), 3, size, size)
    current, smoothly = images, min(images.shape[-2:]) > _SMOOTH
    for step in range(int(level.max()) + 1):
        if step:
            current = halved(current, smoothly=smoothly)
        index = (level == step).nonzero().squeeze(1)
        if len(index) == 0:
            continue
        places = grid[index.to(images.device)]
        if len(index) * current.shape[-2] * current.shape[-1] > _WHOLE:
            taken = sample_windows(current, owner[index], places)
        else:
            source = of_each_view(current, owner[index])
            taken = F.grid_sample(source, places, padding_mode="reflection", align_corners=False)
        out = (
            taken if len(index) == len(owner) else out.index_copy(0, index.to(images.device), taken)
        )
    out = jitter(out, parameters.colour.flatten(0, 1)[chunk].to(images.device))
    if parameters.noise is not None:
        out = out + noise_of(parameters.noise, chunk).to(images.device, out.dtype)
    return out


def halved(images: Tensor, *, smoothly: bool) -> Tensor:
    """Pictures [B, C, H, W] at half the size, rounded up.

    Args:
        images: larger ones.
        smoothly: by the binomial filter 1, 3, 3, 1 in place of the mean of two by two. Means give
            the same gradient to all pixels of a block, and where blocks are large they are seen.
    """
    if not smoothly:
        return F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1 + width % 2, 1, 1 + height % 2), mode="replicate")
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], device=images.device, dtype=images.dtype) / 8
    channels = images.shape[1]
    kernel = torch.outer(line, line).expand(channels, 1, 4, 4)
    return F.conv2d(padded, kernel, stride=2, groups=channels)

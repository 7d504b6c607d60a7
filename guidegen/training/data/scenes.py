"""Training pictures: cut-outs placed at random on random backgrounds, whole batches at once.

A generated picture is seen by the encoder through random crops, at any place and scale, on any
background; so are the cut-outs here. All random numbers come from one generator, on its device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.training.device import sent

PALETTE = {
    "white": (1.0, 1.0, 1.0), "black": (0.03, 0.03, 0.03), "gray": (0.5, 0.5, 0.5),
    "red": (0.85, 0.1, 0.12), "orange": (0.97, 0.55, 0.1), "yellow": (0.98, 0.88, 0.2),
    "green": (0.2, 0.65, 0.25), "cyan": (0.3, 0.85, 0.9), "blue": (0.15, 0.35, 0.85),
    "purple": (0.5, 0.2, 0.7), "pink": (0.97, 0.6, 0.75), "brown": (0.45, 0.28, 0.15),
    "beige": (0.93, 0.87, 0.74),
}  # fmt: skip
COLOUR_NAMES = tuple(PALETTE)
_COLOURS = torch.tensor(list(PALETTE.values()))


def uniform(shape: tuple[int, ...], low: float, high: float, rng: torch.Generator) -> Tensor:
    """Uniform random numbers in [low, high), on the generator's device."""
    return torch.rand(shape, generator=rng, device=rng.device) * (high - low) + low


@dataclass(frozen=True)
class Placement:
    """Where each of n cut-outs goes. All tensors are [n].

    x, y: centre in the picture, -1 (left, top) to 1.
    scale: size of the cut-out's square, 1 filling the picture.
    angle: in radians.
    flip: 1 or -1 (mirrored).
    """

    x: Tensor
    y: Tensor
    scale: Tensor
    angle: Tensor
    flip: Tensor


def random_placement(mirror: Tensor, fill: Tensor, rng: torch.Generator) -> Placement:
    """One cut-out a picture: mostly whole, sometimes larger than the frame or cut by its edge.

    Args:
        mirror: bool [n], which cut-outs may be mirrored.
        fill: bool [n], which must cover the frame: pictures without transparency.
        rng: source of randomness.
    """
    n = len(mirror)
    scale = torch.exp(uniform((n,), math.log(0.45), math.log(1.3), rng))
    scale = torch.where(fill, 1.1 + 0.5 * scale, scale)
    room = (1 - scale).abs() + torch.where(fill, -0.1, 0.12)  # how far the centre may wander
    return Placement(
        x=uniform((n,), -1, 1, rng) * room,
        y=uniform((n,), -1, 1, rng) * room,
        scale=scale,
        angle=torch.where(fill, 0.3, 1.0) * _small_angles(n, rng),
        flip=_flips(mirror, rng),
    )


def near_placement(n: int, rng: torch.Generator) -> Placement:
    """Cut-outs seen from so near that only their colours and textures remain: backgrounds."""
    return Placement(
        x=uniform((n,), -1.5, 1.5, rng),
        y=uniform((n,), -1.5, 1.5, rng),
        scale=uniform((n,), 3, 6, rng),
        angle=uniform((n,), -3, 3, rng),
        flip=torch.ones(n, device=rng.device),
    )


def pair_placement(vertical: Tensor, mirror: Tensor, rng: torch.Generator) -> Placement:
    """Two cut-outs side by side, or one above the other.

    Args:
        vertical: bool [n].
        mirror: bool [2 n]; the first n are the left (upper) cut-outs.
        rng: source of randomness.
    """
    n = len(vertical)
    first, second = uniform((n,), -0.6, -0.35, rng), uniform((n,), 0.35, 0.6, rng)
    along, across = torch.cat((first, second)), uniform((2 * n,), -0.35, 0.35, rng)
    upright = torch.cat((vertical, vertical))
    return Placement(
        x=torch.where(upright, across, along),
        y=torch.where(upright, along, across),
        scale=uniform((2 * n,), 0.38, 0.62, rng),
        angle=_small_angles(2 * n, rng),
        flip=_flips(mirror, rng),
    )


def _small_angles(n: int, rng: torch.Generator) -> Tensor:
    return torch.randn(n, generator=rng, device=rng.device).clamp(-2.5, 2.5) * 0.13


def _flips(mirror: Tensor, rng: torch.Generator) -> Tensor:
    flip = (uniform((len(mirror),), 0, 1, rng) < 0.5) & mirror
    return 1 - 2 * flip.float()


def place(cutouts: Tensor, where: Placement, size: int, stretch: Tensor) -> Tensor:
    """Draw each cut-out on its own transparent picture.

    Args:
        cutouts: RGBA uint8 [n, S, S, 4].
        where: of n cut-outs.
        size: side of the pictures in pixels.
        stretch: [n, 2], extra width and height, about 1.

    Returns:
        Premultiplied RGBA, float [n, 4, size, size] in [0, 1].
    """
    x = cutouts.permute(0, 3, 1, 2).float() / 255
    x = torch.cat((x[:, :3] * x[:, 3:], x[:, 3:]), dim=1)
    # affine_grid wants the way from the picture to the cut-out: shift, rotate back, scale back
    cos, sin = where.angle.cos(), where.angle.sin()
    width = where.scale * stretch[:, 0] * where.flip
    height = where.scale * stretch[:, 1]
    row0 = torch.stack((cos, sin, -(cos * where.x + sin * where.y)), 1) / width[:, None]
    row1 = torch.stack((-sin, cos, sin * where.x - cos * where.y), 1) / height[:, None]
    theta = sent(torch.stack((row0, row1), 1), x.device)
    grid = F.affine_grid(theta, [len(x), 4, size, size], align_corners=False)
    out = torch.empty(len(x), 4, size, size, device=x.device)
    shrunk = where.scale * size < 0.6 * x.shape[-1]  # halve first: less aliasing
    for chosen, shrink in ((~shrunk, False), (shrunk, True)):
        rows = sent(chosen.nonzero().flatten(), x.device)
        if len(rows):
            source = F.avg_pool2d(x[rows], 2) if shrink else x[rows]
            out[rows] = F.grid_sample(source, grid[rows], align_corners=False)
    return out


def tint(layers: Tensor, colour: Tensor) -> Tensor:
    """Give cut-outs one colour each, keeping light and shade.

    Args:
        layers: premultiplied RGBA [n, 4, H, W].
        colour: indices into `COLOUR_NAMES`, int [n].
    """
    alpha = layers[:, 3:]
    light = layers[:, :3].mean(dim=1, keepdim=True)  # premultiplied, too
    rgb = _COLOURS.to(layers.device)[colour.to(layers.device)][:, :, None, None]
    return torch.cat((((0.45 * alpha + 0.75 * light) * rgb).minimum(alpha), alpha), dim=1)


def over(front: Tensor, back: Tensor) -> Tensor:
    """Alpha compositing of premultiplied RGBA `front` [n, 4, H, W] over RGB `back` [n, 3, H, W]."""
    return front[:, :3] + back * (1 - front[:, 3:])


def plain_backgrounds(colour: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """One colour each, near the palette's.

    Args:
        colour: indices into `COLOUR_NAMES`, int [n], on the generator's device.
        size: side in pixels.
        rng: source of randomness.
    """
    rgb = _COLOURS.to(rng.device)[colour]
    jitter = torch.randn(rgb.shape, generator=rng, device=rng.device) * 0.05
    jitter = jitter * (colour != 0)[:, None]
    return (rgb + jitter).clamp(0, 1)[:, :, None, None].repeat(1, 1, size, size)


def busy_backgrounds(n: int, size: int, rng: torch.Generator) -> Tensor:
    """Smooth random fields, from two-colour gradients to blotches, some with fine noise on top."""
    field = torch.empty(n, 3, size, size, device=rng.device)
    for k, cells in enumerate((2, 4, 9)):
        part = field[k::3]
        coarse = uniform((len(part), 3, cells, cells), 0, 1, rng)
        part.copy_(F.interpolate(coarse, (size, size), mode="bilinear", align_corners=True))
    noise = torch.randn(n, 1, size, size, generator=rng, device=rng.device)
    strength = uniform((n, 1, 1, 1), -0.1, 0.15, rng).clamp(min=0)
    return (field + noise * strength).clamp(0, 1)


def finish(images: Tensor, rng: torch.Generator) -> Tensor:
    """Light, contrast, saturation, blur and noise, each in a part of the batch.

    Hue stays: captions name colours.

    Args:
        images: RGB [n, 3, H, W] in [0, 1]; may be changed in place.
        rng: source of randomness.
    """
    n, _, size, _ = images.shape
    device = images.device
    gain = uniform((n, 1, 1, 1), 0.75, 1.25, rng).to(device)
    lift = uniform((n, 1, 1, 1), -0.08, 0.08, rng).to(device)
    saturation = uniform((n, 1, 1, 1), 0.6, 1.3, rng).to(device)
    touched = (uniform((n, 1, 1, 1), 0, 1, rng) < 0.6).to(device)
    grey = images.mean(dim=1, keepdim=True)
    changed = ((grey + (images - grey) * saturation - 0.5) * gain + 0.5 + lift).clamp(0, 1)
    images = torch.where(touched, changed, images)
    soft = (uniform((n,), 0, 1, rng) < 0.2).nonzero().flatten().to(device)
    if len(soft):
        small = F.interpolate(images[soft], scale_factor=0.5, mode="area")
        images[soft] = F.interpolate(small, size=(size, size), mode="bilinear")
    grainy = (uniform((n,), 0, 1, rng) < 0.2).nonzero().flatten()
    if len(grainy):
        noise = torch.randn(len(grainy), 3, size, size, generator=rng, device=rng.device)
        strength = uniform((len(grainy), 1, 1, 1), 0.02, 0.12, rng)
        rows = grainy.to(device)
        images[rows] = (images[rows] + (noise * strength).to(device)).clamp(0, 1)
    return images


def on_white(cutouts: Tensor, size: int) -> Tensor:
    """Cut-outs as they are, on white: how pictures are evaluated.

    Args:
        cutouts: RGBA uint8 [n, S, S, 4].
        size: side of the pictures in pixels.

    Returns:
        RGB [n, 3, size, size] in [0, 1].
    """
    x = cutouts.permute(0, 3, 1, 2).float() / 255
    x = x[:, :3] * x[:, 3:] + 1 - x[:, 3:]
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)

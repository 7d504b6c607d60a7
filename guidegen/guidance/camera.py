"""Zoom, shift and turn the picture between steps: what makes a film fly through its scene.

The picture is decoded, warped and encoded again, so it takes a generator that can encode.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from guidegen.interfaces import Encodes, Generator, Images, Latents
from guidegen.ops import rows


@dataclass(frozen=True)
class Motion:
    """One move of the camera.

    Attributes:
        zoom: magnification; above 1 goes into the picture.
        shift: (right, down) in parts of the picture's width and height.
        rotate: degrees, anticlockwise.
        every: steps between two moves.
    """

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    rotate: float = 0.0
    every: int = 10


def move_picture(images: Images, motion: Motion) -> Images:
    """The pictures [B, 3, H, W] after one move; what comes into view mirrors the edge."""
    height, width = images.shape[-2:]
    aspect = width / height
    angle = math.radians(motion.rotate)
    cos, sin = math.cos(angle) / motion.zoom, math.sin(angle) / motion.zoom
    right, down = motion.shift
    # output to input coordinates, both in [-1, 1]; a turn must not shear an oblong picture
    matrix = images.new_tensor(
        [[cos, -sin / aspect, -2 * right], [sin * aspect, cos, -2 * down]]
    ).expand(len(images), 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(
        images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    ).clamp(0, 1)


@torch.no_grad()
def move_(generator: Generator, latents: Latents, motion: Motion, groups: Sequence[range]) -> None:
    """Move the pictures that the latents stand for, in place.

    Args:
        generator: one that can encode.
        latents: the optimiser's own tensors; moments of the picture before would pull the new one
            back, so the caller makes the optimiser forget them.
        motion: what to do.
        groups: candidates that go through the generator together.
    """
    assert isinstance(generator, Encodes)
    for candidates in groups:
        span = slice(candidates.start, candidates.stop)
        moved = generator.encode(move_picture(generator.decode(rows(latents, span)), motion))
        for name, value in latents.items():
            value.data[span] = moved[name]

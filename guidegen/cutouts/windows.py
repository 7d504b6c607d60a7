"""Views of a large picture, each read from the window of it that the view touches.

The gradient of a plain `grid_sample` is as large as the picture for each view; here it is as large
as the windows, and added to one picture.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_windows(images: Tensor, candidate: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples, as `grid_sample` with the padding "reflection" takes them.

    Args:
        images: [B, C, H, W].
        candidate: [m], whose picture each view shows.
        places: [m, S, S, 2], x and y from -1 to 1 over the picture; beyond it is its mirror image.

    Returns:
        [m, C, S, S].
    """
    height, width = images.shape[-2:]
    x = _pixels(places[..., 0], width)
    y = _pixels(places[..., 1], height)
    left, wide = _span(x, width)
    top, tall = _span(y, height)
    corners = list(zip(candidate.tolist(), top.tolist(), left.tolist(), strict=True))
    windows: Tensor = _Windows.apply(images, corners, tall, wide)
    inside = [
        (2 * (value - first.view(-1, 1, 1)) + 1) / length - 1
        for value, first, length in ((x, left, wide), (y, top, tall))
    ]
    grid = torch.stack(inside, -1)
    return F.grid_sample(windows, grid, padding_mode="border", align_corners=False)


def _pixels(coordinates: Tensor, length: int) -> Tensor:
    """Coordinates from -1 to 1 in pixels, 0 in the middle of the first; mirrored at the edges."""
    folded = ((coordinates - 1).remainder(4) - 2).abs() - 1
    return ((folded + 1) * length - 1) / 2


def _span(pixels: Tensor, length: int) -> tuple[Tensor, int]:
    """The first pixel [m] of the window of each view, and how many all windows have."""
    first = pixels.flatten(1).amin(1).floor().long().clamp(0, length - 1)
    last = pixels.flatten(1).amax(1).ceil().long().clamp(0, length - 1)
    count = int((last - first).max()) + 1
    return first.clamp(max=length - count), count


class _Windows(torch.autograd.Function):
    """Windows of the same size, [m, C, h, w]; their gradients add up in one picture."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, corners: list[tuple[int, int, int]], tall: int, wide: int
    ) -> Tensor:
        ctx.shape, ctx.corners, ctx.tall, ctx.wide = images.shape, corners, tall, wide
        return torch.stack(
            [images[b, :, top : top + tall, left : left + wide] for b, top, left in corners]
        )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:
        (grad,) = grads
        whole = grad.new_zeros(ctx.shape)
        for one, (b, top, left) in zip(grad, ctx.corners, strict=True):
            whole[b, :, top : top + ctx.tall, left : left + ctx.wide] += one
        return whole, None, None, None

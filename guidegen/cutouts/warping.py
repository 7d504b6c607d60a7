"""What the cutout methods share: homographies, sampling grids, changes of colour."""

import torch
from torch import Tensor


def matrix(*entries: Tensor) -> Tensor:
    """Nine [n] entries, row by row, as [n, 3, 3]."""
    return torch.stack(entries, -1).view(-1, 3, 3)


def sampling_grid(warp: Tensor, size: int) -> Tensor:
    """Sampling grid [m, S, S, 2] of homographies [m, 3, 3], output to input coordinates."""
    axis = (torch.arange(size, device=warp.device) * 2 + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3)
    warped = points @ warp.transpose(1, 2)
    return (warped[..., :2] / warped[..., 2:]).view(-1, size, size, 2)


def owners(pictures: int, views: int, chunk: slice) -> Tensor:
    """Whose view each of a chunk is, [m]; `views` of each picture stand candidate-major."""
    return torch.arange(pictures).repeat_interleave(views)[chunk]


def of_each_view(pictures: Tensor, owner: Tensor) -> Tensor:
    """The picture that each view shows, [m, C, H, W].

    One picture is repeated without a copy, and not by an index: on several CPU threads an index's
    backward adds in no fixed order.

    Args:
        pictures: [B, C, H, W].
        owner: [m], as `owners` gives it.
    """
    source = pictures if len(pictures) == 1 else pictures[owner.to(pictures.device)]
    return source.expand(len(owner), -1, -1, -1)


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, contrast about the mean, and saturation about the grey, per view.

    Args:
        images: [m, 3, S, S].
        factors: [m, 3] of brightness, contrast and saturation; 1 changes nothing.
    """
    brightness, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    images = images * brightness
    mean = images.mean((1, 2, 3), keepdim=True)
    grey = images.mean(1, keepdim=True)
    # one expression for both: grey + s·(x − grey), then mean + c·(· − mean)
    return mean * (1 - contrast) + contrast * (grey * (1 - saturation) + saturation * images)

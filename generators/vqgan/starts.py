"""Where a VQGAN starts: random codes, or a random picture to encode. All on the CPU."""

import torch
from torch import Tensor

SMOOTH = 4  # sides, in codes, of what one random code is drawn for where they start smooth


def random_codes(n: int, grid: tuple[int, int], rng: torch.Generator) -> Tensor:
    """One of `n` codes for each cell, evenly: int [h, w]."""
    return torch.randint(n, grid, generator=rng)


def random_picture(kind: str, size: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A picture [3, H, W] in [0, 1].

    Args:
        kind: "noise" (each pixel at random), "gradient" (from one colour to another, across or
            down, each channel by itself) or "plain" (one colour).
        size: (height, width).
        rng: source of randomness.
    """
    height, width = size
    if kind == "noise":
        return torch.rand(3, height, width, generator=rng)
    if kind == "plain":
        return torch.rand(3, 1, 1, generator=rng).expand(3, height, width)
    ends = torch.rand(3, 2, generator=rng)
    down = torch.randint(2, (3,), generator=rng)
    across = torch.linspace(0, 1, width).expand(height, width)
    along = torch.linspace(0, 1, height)[:, None].expand(height, width)
    share = torch.stack([along if d else across for d in down.tolist()])
    return ends[:, :1, None].lerp(ends[:, 1:, None], share)

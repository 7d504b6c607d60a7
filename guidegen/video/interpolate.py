"""Latents between two sets of latents. All are of one picture, without a batch axis."""

import torch
from torch import Tensor

from guidegen.interfaces import Latents

# Norms nearer than this ratio count as equal: then the way goes along the sphere.
_CLOSE = 1.25


def row(latents: Latents, index: int) -> Latents:
    """One row of every latent."""
    return {name: value[index] for name, value in latents.items()}


def at(latents: Latents, position: float) -> Latents:
    """Latents [...] at a place on a way of T stored ones [T, ...], from 0 to T − 1.

    Choices (integers) stay until the next stored state. Floating latents move on curves without
    kinks that never leave the range between two neighbours. A slot whose choice changes stays as
    a whole until then, since the way from one patch's place to another's is the place of neither.
    A slot is what the leading axes of a choice count.
    """
    index = int(position)
    t = position - index
    if not t:
        return row(latents, index)
    return {
        name: _curve(value, _changes(latents, value), index, t)
        if value.is_floating_point()
        else value[index]
        for name, value in latents.items()
    }


def _changes(latents: Latents, value: Tensor) -> list[Tensor]:
    """The choices [T, ...] whose slots a latent [T, ...] belongs to."""
    choices = (other for other in latents.values() if not other.is_floating_point())
    return [other for other in choices if other.shape == value.shape[: other.dim()]]


def _curve(values: Tensor, choices: list[Tensor], k: int, t: float) -> Tensor:
    """Monotone cubic interpolation between values[k] and values[k + 1].

    Source: Fritsch & Butland, "A Method for Constructing Local Monotone Piecewise Cubic
    Interpolants", SIAM J. Sci. Stat. Comput. 5, 1984: the slope at a point is the harmonic mean of
    those on both sides, and zero at an extremum.
    """
    step, held = _step(values, choices, k)
    before, cut_before = _step(values, choices, k - 1)
    after, cut_after = _step(values, choices, k + 1)
    # where the way begins or ends, it goes straight
    begin = _slope(torch.where(cut_before, step, before), step)
    end = _slope(step, torch.where(cut_after, step, after))
    # Hermite's basis
    way = (t**3 - 2 * t**2 + t) * begin + (3 * t**2 - 2 * t**3) * step + (t**3 - t**2) * end
    return torch.where(held, values[k], values[k] + way)


def _step(values: Tensor, choices: list[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """From state k to k + 1: the difference, and where there is no way (a mask of its shape)."""
    if not 0 <= k < len(values) - 1:
        return torch.zeros_like(values[0]), torch.ones_like(values[0], dtype=torch.bool)
    cut = torch.zeros_like(values[0], dtype=torch.bool)
    for choice in choices:
        slots = choice[k] != choice[k + 1]
        cut = cut | slots.view(slots.shape + (1,) * (cut.dim() - slots.dim()))
    return values[k + 1] - values[k], cut


def _slope(a: Tensor, b: Tensor) -> Tensor:
    same = a * b > 0
    total = torch.where(same, a + b, torch.ones_like(a))
    return torch.where(same, 2 * a * b / total, torch.zeros_like(a))


def between(start: Latents, end: Latents, t: float) -> Latents:
    """Latents at time `t` of 0 to 1 between those of two runs; none may be choices.

    Normally distributed ones, which generators call z, go along the sphere: a straight line passes
    nearer to the origin than any sample lies. Others go straight.
    """
    return {
        name: slerp(value, end[name], t) if name == "z" else torch.lerp(value, end[name], t)
        for name, value in start.items()
    }


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Spherical interpolation along the last axis, straight where the norms are not close.

    Source: Shoemake, "Animating Rotation with Quaternion Curves", SIGGRAPH 1985; for latents White,
    "Sampling Generative Networks" (arXiv:1609.04468).
    """
    straight = torch.lerp(a, b, t)
    norm_a, norm_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    low, high = torch.minimum(norm_a, norm_b), torch.maximum(norm_a, norm_b)
    cos = (a * b).sum(-1, keepdim=True) / (norm_a * norm_b).clamp(min=1e-12)
    angle = cos.clamp(-1, 1).acos()
    sin = angle.sin()
    # nearly the same or opposite directions have no (one) way along the sphere
    curved = (high < _CLOSE * low) & (sin > 1e-3)
    sin = torch.where(curved, sin, torch.ones_like(sin))
    round_ = ((1 - t) * angle).sin() / sin * a + (t * angle).sin() / sin * b
    return torch.where(curved, round_, straight)

"""What is likely of a collage before a prompt is read; each part is a scalar, lower is likelier."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.interfaces import Latents

# Weights of the prior, in the units of CLIP's spherical distance. Of one picture the mean of that
# over 8 cutouts has a standard deviation of about 0.02, through other views alone. So what costs a
# hundredth is a matter of taste that a prompt can outweigh, and what costs a tenth hardly happens.
_DYE = 0.02  # what one fully dyed object costs: drawings have colours of their own
_COLOURFUL = 0.06  # a fully saturated backdrop
_DARK = 0.04  # a black backdrop
_FADED = 0.5  # 0.02 for a backdrop that is a fifth off all that there are, in every colour
_UNBALANCED = 0.15  # 0.04 for objects whose middle lies halfway to the edge
_OUTSIDE = 2.0  # 0.02 for a tenth of the shorter side beyond the edge, for surroundings
_SMALL = 0.4  # 0.19 for an object of half the side that it should have
_TURNED = 0.5  # 0.08 for the largest angle that there may be, 12 degrees
_OVERLAP = 0.4  # an object that lies wholly before another, less what is allowed:
_TOUCH = 0.15  # part of the smaller one, so that a bird may sit on a tree
_HIDDEN = 0.1  # surroundings that lie wholly behind objects

Shapes = Mapping[int, tuple[float, float]]  # slot -> half extents of its drawing in its square


def dye_prior(row: Latents) -> Tensor:
    """Little dye. `row` holds the latents of one picture."""
    return _DYE * torch.sigmoid(row["dye"]).sum()


def backdrop_prior(backdrop: Tensor, palette: Tensor | None) -> Tensor:
    """Quiet, light backdrops that stay near those there are.

    Args:
        backdrop: [2, 3] in [0, 1].
        palette: [n, 2, 3], those there are; None where the prompt names its own.
    """
    chroma = backdrop.amax(1) - backdrop.amin(1)
    loss = _COLOURFUL * chroma.square().mean() + _DARK * (1 - backdrop.mean()).square()
    if palette is None:
        return loss
    return loss + _FADED * (backdrop - palette.to(backdrop)).square().mean((1, 2)).min()


def objects_prior(row: Latents, placed: Shapes) -> Tensor:
    """Objects balanced, large, upright and apart from each other."""
    place, scale = row["place"], row["scale"]
    objects = [s for s in placed if not row["behind"][s]]
    half = _half(scale, placed)
    # objects share the canvas: one alone fills most of it
    least = math.log(0.8) - 0.5 * math.log(max(len(objects), 1))
    loss = scale.new_zeros(())
    if objects:
        # CLIP's crops do not mind where things are; people like them balanced about the middle
        loss = loss + _UNBALANCED * place[objects].mean(0).square().sum()
    for n, s in enumerate(objects):
        loss = loss + _SMALL * F.relu(least - scale[s]).square()
        loss = loss + _TURNED * row["angle"][s].square()
        for other in objects[:n]:
            reach = 0.8 * (half[s] + half[other])
            overlap = F.relu(reach - (place[s] - place[other]).abs())
            smaller = torch.minimum(half[s].prod(), half[other].prod())
            share = overlap.prod() / (4 * smaller).clamp(min=1e-3)
            loss = loss + _OVERLAP * F.relu(share - _TOUCH)
    return loss


def surroundings_prior(row: Latents, placed: Shapes, edges: tuple[float, float]) -> Tensor:
    """Surroundings mostly inside, large, and apart from each other.

    Args:
        row: latents of one picture.
        placed: all drawings but scenes.
        edges: half the picture's width and height, in units of half its shorter side.
    """
    place, scale = row["place"], row["scale"]
    behind = [s for s in placed if row["behind"][s]]
    half, edge = _half(scale, placed), place.new_tensor(edges)
    least = math.log(0.6) - 0.25 * math.log(max(len(behind), 1))
    loss = scale.new_zeros(())
    for n, s in enumerate(behind):
        outside = F.relu(place[s].abs() + 0.5 * half[s] - edge)
        loss = loss + _OUTSIDE * outside.square().sum()
        loss = loss + _SMALL * F.relu(least - scale[s]).square()
        for other in behind[:n]:
            apart = (place[s, 0] - place[other, 0]).abs() / (half[s][0] + half[other][0])
            loss = loss + _HIDDEN * F.relu(0.7 - apart).square()
    return loss


def _half(scale: Tensor, placed: Shapes) -> dict[int, Tensor]:
    """Slot -> half extents [2] of its drawing in the picture."""
    return {s: scale[s].exp() * scale.new_tensor(shape) for s, shape in placed.items()}

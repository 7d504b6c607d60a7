"""A picture to start from: the embedded cut-outs that the prompt names, on a plain backdrop."""

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.collage.layout import EMPTY, lay_out
from generators.collage.patches import Atlas
from guidegen.interfaces import Images, Latents, Preference

_SLOTS = 6


def draw(
    atlas: Atlas, rng: torch.Generator, preference: Preference | None, size: tuple[int, int]
) -> Images:
    """Patches drawn by preference (or evenly), laid out as the phrases' relations ask.

    Args:
        atlas: the patches.
        rng: the candidate's own.
        preference: what the prompt asks of the atlas.
        size: (height, width).

    Returns:
        RGB [3, height, width] in [0, 1], on the CPU.
    """
    groups = [entry.group for entry in atlas.entries]
    row = lay_out(
        rng, preference, groups=groups, wears=atlas.wears, slots=_SLOTS, aspect=size[1] / size[0]
    )
    top, bottom = torch.sigmoid(row["backdrop"])[..., None, None].unbind(0)
    canvas = top.lerp(bottom, torch.linspace(0, 1, size[0])[:, None]).expand(3, *size).clone()
    for slot, index in enumerate(row["patch"].tolist()):
        if index != EMPTY:
            _paste(canvas, atlas, row, slot, scene=groups[index] == "scene")
    return canvas.clamp(0, 1)


def _paste(canvas: Tensor, atlas: Atlas, row: Latents, slot: int, *, scene: bool) -> None:
    """Paint one patch over the canvas [3, H, W], in place, without its slant."""
    index = int(row["patch"][slot])
    height, width = canvas.shape[1:]
    shorter = min(height, width)
    if scene:  # fills the canvas
        half_x, half_y = atlas.shape(index)
        side, x, y = round(1.02 * max(width / half_x, height / half_y)), 0.0, 0.0
    else:
        side = max(8, round(float(row["scale"][slot].exp()) * shorter))
        x, y = row["place"][slot].tolist()
    patch = F.interpolate(
        atlas.texture(index)[None], (side, side), mode="bilinear", antialias=True
    )[0].clamp(0, 1)
    rgb, alpha = patch[:3], patch[3:]
    dye = torch.sigmoid(row["dye"][slot])
    light = rgb.mean(0, keepdim=True) / max(atlas.lightness(index), 0.15)
    dyed = torch.minimum(torch.sigmoid(row["tint"][slot])[:, None, None] * light, alpha)
    patch = torch.cat([rgb.lerp(dyed, dye), alpha])
    left = round((x * shorter + width - side) / 2)
    up = round((y * shorter + height - side) / 2)
    # what lies on the canvas
    y0, y1, x0, x1 = max(0, up), min(height, up + side), max(0, left), min(width, left + side)
    if y0 < y1 and x0 < x1:
        seen = patch[:, y0 - up : y1 - up, x0 - left : x1 - left]
        spot = canvas[:, y0:y1, x0:x1]
        spot.copy_(seen[:3] + spot * (1 - seen[3:]))

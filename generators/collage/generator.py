"""Collage: a picture laid from cut-out drawings on a two-colour backdrop.

Differentiable in where each patch lies, how large, at what angle and in which colour; which patch
it is, is a choice that proposals change and the loss decides. Patches are opaque, so nothing shows
through as a ghost.

Source: Mirowski et al. 2022, "CLIP-CLOP: CLIP-Guided Collage and Photomontage" (arXiv:2205.03146).
Differs from it in opaque patches, in choosing patches by the perceptor's ranking and in a
recolouring that keeps a drawing's light and shade.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.collage.backdrops import BACKDROPS, paint_backdrop
from generators.collage.layout import EMPTY, depth, lay_out
from generators.collage.patches import Atlas
from generators.collage.prior import (
    backdrop_prior,
    dye_prior,
    objects_prior,
    surroundings_prior,
)
from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference
from guidegen.weights.store import embedded

SLOTS = 6
_WORK_SIDE = 192

_MARGIN = 0.97  # how far a drawing may reach towards the edge of the picture
_UPRIGHT = 0.4  # largest angle, in units of 30 degrees


class Collage:
    """Pictures of S = 6 slots, painted in order, the first at the back.

    Latents of B pictures:

    place [B, S, 2]     centre (x, y), in [-1, 1] across the shorter side
    scale [B, S]        log of the patch's side over the shorter side
    angle [B, S]        degrees / 30
    tint [B, S, 3]      colour of the dye, logits
    dye [B, S]          how much of it, logit
    backdrop [B, 2, 3]  colour at the top and at the bottom, logits
    land [B]            1 where these meet at a horizon, 0 where one slowly becomes the other
    pinned [B]          1 where the prompt names the backdrop, which then stays as it is
    patch [B, S]        index into the atlas, or -1 for an empty slot
    phrase [B, S]       the phrase of the prompt that the slot stands for
    behind [B, S]       1 for surroundings: they may be cut by the edge and hidden by objects
    """

    def __init__(
        self, info: GeneratorInfo, size: tuple[int, int], device: str, atlas: Atlas
    ) -> None:
        self.info, self.size, self.device = info, size, device
        self.vocabulary = atlas
        self.digest = atlas.digest
        shorter = min(size)
        scale = min(1.0, _WORK_SIDE / shorter)
        self.work_size = (round(size[0] * scale), round(size[1] * scale))
        self._groups = [entry.group for entry in atlas.entries]
        self._palette = torch.sigmoid(torch.tensor([each.colours for each in BACKDROPS]))

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Patches drawn by preference (or evenly), laid out as the phrases' relations ask."""
        drawn = []
        for b in range(batch):
            wanted = None if preference is None else preference[b]
            drawn.append(self._lay_out(rngs[b], wanted))
        latents = {name: torch.stack([row[name] for row in drawn]) for name in drawn[0]}
        self.constrain_(latents)
        return {name: value.to(self.device) for name, value in latents.items()}

    def _lay_out(self, rng: torch.Generator, wanted: Preference | None) -> Latents:
        return lay_out(
            rng,
            wanted,
            groups=self._groups,
            shape=self.vocabulary.shape,
            wears=self.vocabulary.wears,
            slots=SLOTS,
            aspect=self.size[1] / self.size[0],
        )

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """Paint the patches over the backdrop.

        Without `size` at the loop's resolution (shorter side 192); with it supersampled twice, so
        that edges are smooth.
        """
        if size is None:
            return torch.cat(
                [self._paint(latents, b, self.work_size) for b in range(_len(latents))]
            )
        fine = (size[0] * 2, size[1] * 2)
        return torch.cat(
            [
                F.avg_pool2d(self._paint(latents, b, fine, mode="bicubic"), 2)
                for b in range(_len(latents))
            ]
        )

    def _paint(
        self, latents: Latents, b: int, size: tuple[int, int], mode: str = "bilinear"
    ) -> Images:
        height, width = size
        # runs of older versions have no land
        land = "land" in latents and bool(latents["land"][b])
        canvas = paint_backdrop(self._backdrop(latents, b), land, height)
        canvas = canvas.expand(3, height, width)[None]
        for s, index in enumerate(latents["patch"][b].tolist()):
            if index != EMPTY:
                layer = self._layer(latents, b, s, index, size, mode)
                canvas = layer[:, :3] + canvas * (1 - layer[:, 3:])
        return canvas.clamp(0, 1)

    def _backdrop(self, latents: Latents, b: int) -> Tensor:
        """Colours at the top and at the bottom, [2, 3] in [0, 1]."""
        colours = torch.sigmoid(latents["backdrop"][b])
        return colours.detach() if latents["pinned"][b] else colours

    def _layer(
        self, latents: Latents, b: int, s: int, index: int, size: tuple[int, int], mode: str
    ) -> Tensor:
        """One patch in its place: premultiplied RGBA [1, 4, H, W]."""
        texture = self.vocabulary.texture(index).to(self.device)
        height, width = size
        shorter = min(size)
        side = latents["scale"][b, s].exp()
        angle = latents["angle"][b, s] * (30 * torch.pi / 180)
        cos, sin = angle.cos() / side, angle.sin() / side
        x, y = latents["place"][b, s].unbind(0)
        # shrunk below half its resolution a texture aliases: take a coarser one
        while texture.shape[-1] > 2 * shorter * float(side.detach()) and texture.shape[-1] > 16:
            texture = F.avg_pool2d(texture[None], 2, ceil_mode=True, count_include_pad=False)[0]
        # canvas coordinates in units of the shorter side, turned into the patch's square
        right = _centres(width, side.device) * (width / shorter) - x
        down = (_centres(height, side.device) * (height / shorter) - y)[:, None]
        grid = torch.stack([cos * right + sin * down, cos * down - sin * right], -1)
        layer = F.grid_sample(
            texture[None], grid[None], mode=mode, padding_mode="zeros", align_corners=False
        ).clamp(0, 1)
        alpha = layer[:, 3:]
        grey = layer[:, :3].mean(1, keepdim=True) / max(self.vocabulary.lightness(index), 0.15)
        # one for each channel: the last bits of a sum over the whole picture, which its gradient
        # would be, depend on the number of threads
        dye = torch.sigmoid(latents["dye"][b, s]).expand(1, 3, 1, 1)
        colour = torch.sigmoid(latents["tint"][b, s]).view(1, 3, 1, 1)
        # the dye keeps light and shade: lightness relative to the drawing's own mean
        dyed = torch.minimum(colour * grey, alpha)
        return torch.cat([(1 - dye) * layer[:, :3] + dye * dyed, alpha], 1)

    def constrain_(self, latents: Latents) -> None:
        """Objects stay whole, at least 12 % of the side, nearly upright; scenes fill the canvas."""
        latents["place"].data.clamp_(-1.6, 1.6)
        latents["angle"].data.clamp_(-_UPRIGHT, _UPRIGHT)
        latents["scale"].data.clamp_(-2.1, 0.5)
        for name in ("tint", "dye", "backdrop"):
            latents[name].data.clamp_(-4, 4)
        behind = latents["behind"].tolist()
        for b, patches in enumerate(latents["patch"].tolist()):
            for s, index in enumerate(patches):
                if index == EMPTY:
                    continue
                if self._groups[index] == "scene":
                    latents["place"].data[b, s] = 0
                    latents["angle"].data[b, s] = 0
                    latents["scale"].data[b, s] = math.log(self._cover(index))
                elif behind[b][s]:
                    latents["angle"].data[b, s] = 0
                    for axis, edge in enumerate(self._edges()):
                        latents["place"].data[b, s, axis].clamp_(-edge, edge)
                else:
                    self._keep_inside_(latents, b, s, index)

    def _keep_inside_(self, latents: Latents, b: int, s: int, index: int) -> None:
        """Shrink and move a drawing until all of it is in the picture."""
        shape, edges = self.vocabulary.shape(index), self._edges()
        largest = min(_MARGIN * edge / half for edge, half in zip(edges, shape, strict=True))
        scale = latents["scale"].data[b, s].clamp_(max=math.log(largest))
        side = math.exp(float(scale))
        for axis, (edge, half) in enumerate(zip(edges, shape, strict=True)):
            room = max(edge - side * half, 0.0)
            latents["place"].data[b, s, axis].clamp_(-room, room)

    def _edges(self) -> tuple[float, float]:
        """Half the picture's width and height, in units of half its shorter side."""
        shorter = min(self.size)
        return self.size[1] / shorter, self.size[0] / shorter

    def _cover(self, index: int) -> float:
        """Side at which a patch fills the canvas, round corners and all, in its shorter sides."""
        half_x, half_y = self.vocabulary.shape(index)
        shorter = min(self.size)
        return 1.08 * max(self.size[1] / shorter / half_x, self.size[0] / shorter / half_y)

    def prior(self, latents: Latents) -> Tensor:
        """Objects upright, apart from each other and not too small, little dye; [B]."""
        return torch.stack([self._prior(latents, b) for b in range(_len(latents))])

    def _prior(self, latents: Latents, b: int) -> Tensor:
        row = {name: value[b] for name, value in latents.items()}
        placed = {
            s: self.vocabulary.shape(index)
            for s, index in enumerate(row["patch"].tolist())
            if index != EMPTY and self._groups[index] != "scene"
        }
        loss = dye_prior(row) + objects_prior(row, placed)
        loss = loss + surroundings_prior(row, placed, self._edges())
        palette = None if row["pinned"] else self._palette
        return loss + backdrop_prior(self._backdrop(latents, b), palette)

    def propose(
        self, latents: Latents, *, rngs: Sequence[torch.Generator], preference: Sequence[Preference]
    ) -> Latents:
        """Change one thing of each picture: patch, place, colour, order or backdrop."""
        changed = {name: value.clone() for name, value in latents.items()}
        for b, rng in enumerate(rngs):
            fresh = self._lay_out(rng, preference[b])
            row = {name: value[b] for name, value in changed.items()}
            _mutate(row, fresh, rng, self._depths(row))
        self.constrain_(changed)
        return changed

    def _depths(self, row: Latents) -> list[int]:
        """How near each slot is, of one picture."""
        return [
            depth(self._groups[index], behind=bool(behind))
            for index, behind in zip(row["patch"].tolist(), row["behind"].tolist(), strict=True)
        ]


def _centres(pixels: int, device: torch.device) -> Tensor:
    """Where the centres of pixels lie on a side from -1 to 1."""
    return (torch.arange(pixels, device=device) * 2 + 1) / pixels - 1


def _mutate(row: Latents, fresh: Latents, rng: torch.Generator, depths: Sequence[int]) -> None:
    """Carry one feature of another drawn picture over, in place; slots change within a depth."""
    used = (row["patch"] != EMPTY).nonzero().flatten().tolist()
    kind = int(torch.randint(0, 6, (1,), generator=rng))
    slot = used[int(torch.randint(0, len(used), (1,), generator=rng))]
    pick = int(torch.randint(0, 2**31, (1,), generator=rng))
    if kind == 0:
        for name in ("backdrop", "land"):
            row[name].copy_(fresh[name])
    elif kind in (1, 2):
        # another drawing for the same phrase
        same = (fresh["phrase"] == row["phrase"][slot].cpu()) & (fresh["patch"] != EMPTY)
        options = same.nonzero().flatten().tolist()
        if options:
            other = options[pick % len(options)]
            moves = kind == 2 or bool(fresh["behind"][other] != row["behind"][slot].cpu())
            for name in ("patch", "behind"):
                row[name][slot] = fresh[name][other].to(row[name])
            if moves:  # laid where the fresh picture has it
                for name in ("place", "scale", "angle"):
                    row[name][slot] = fresh[name][other].to(row[name])
            for name in ("tint", "dye"):
                row[name][slot] = fresh[name][other].to(row[name])
    elif kind == 3:
        # where the fresh picture has what stands for the same phrase in the same depth
        if all(fresh[name][slot] == row[name][slot].cpu() for name in ("phrase", "behind")):
            row["place"][slot] = fresh["place"][slot].to(row["place"])
    elif kind == 4:
        row["scale"][slot] += 0.6 * (pick % 2) - 0.3
    else:
        # what is painted first; surroundings stay behind the rest, and the sky behind them
        alike = [other for other in used if depths[other] == depths[slot]]
        other = alike[pick % len(alike)]
        for value in (v for k, v in row.items() if k not in ("backdrop", "land", "pinned")):
            value[[slot, other]] = value[[other, slot]]


def _len(latents: Latents) -> int:
    return len(latents["patch"])


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, object],
) -> Collage:
    """Entry point; see `guidegen.backend.Backend`."""
    return Collage(info, size, device, Atlas(embedded("collage") / "patches.zip"))

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

from generators.collage.layout import EMPTY, lay_out
from generators.collage.patches import Atlas
from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference
from guidegen.weights.store import embedded

SLOTS = 6
_WORK_SIDE = 192

# Weights of the prior, in the units of CLIP's spherical distance. Of one picture the mean of that
# over 8 cutouts has a standard deviation of about 0.02, through other views alone. So what costs a
# hundredth is a matter of taste that a prompt can outweigh, and what costs a tenth hardly happens.
_DYE = 0.02  # what one fully dyed object costs: drawings have colours of their own
_COLOURFUL = 0.06  # a fully saturated backdrop
_DARK = 0.04  # a black backdrop
_UNBALANCED = 0.15  # 0.04 for objects whose middle lies halfway to the edge
_OUTSIDE = 2.0  # 0.02 for a tenth of the shorter side beyond the edge, 0.18 for three tenths
_SMALL = 0.4  # 0.19 for an object of half the side that it should have
_TURNED = 0.06  # an object turned by 30 degrees
_OVERLAP = 0.4  # an object that lies wholly before another


class Collage:
    """Pictures of S = 6 slots, painted in order, the first at the back.

    Latents of B pictures:

    place [B, S, 2]     centre (x, y), in [-1, 1] across the shorter side
    scale [B, S]        log of the patch's side over the shorter side
    angle [B, S]        degrees / 30
    tint [B, S, 3]      colour of the dye, logits
    dye [B, S]          how much of it, logit
    backdrop [B, 2, 3]  colour at the top and at the bottom, logits
    pinned [B]          1 where the prompt names the backdrop, which then stays as it is
    patch [B, S]        index into the atlas, or -1 for an empty slot
    phrase [B, S]       the phrase of the prompt that the slot stands for
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
        top, bottom = self._backdrop(latents, b).unbind(0)
        # a steeper middle than a straight ramp: reads as sky and ground
        ramp = torch.sigmoid(torch.linspace(-4, 4, height, device=top.device)).view(1, height, 1)
        canvas = top.view(3, 1, 1) * (1 - ramp) + bottom.view(3, 1, 1) * ramp
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
        """Objects stay on the canvas, 12 % to 165 % of its side, nearly upright; scenes fill it."""
        for value, bound in ((latents["place"], 1.6), (latents["angle"], 1.0)):
            value.data.clamp_(-bound, bound)
        latents["scale"].data.clamp_(-2.1, 0.5)
        for name in ("tint", "dye", "backdrop"):
            latents[name].data.clamp_(-4, 4)
        for b, patches in enumerate(latents["patch"].tolist()):
            for s, index in enumerate(patches):
                if index != EMPTY and self._groups[index] == "scene":
                    latents["place"].data[b, s] = 0
                    latents["angle"].data[b, s] = 0
                    latents["scale"].data[b, s] = math.log(self._cover(index))

    def _cover(self, index: int) -> float:
        """Side at which a patch fills the canvas, in units of its shorter side."""
        half_x, half_y = self.vocabulary.shape(index)
        shorter = min(self.size)
        return 1.02 * max(self.size[1] / shorter / half_x, self.size[0] / shorter / half_y)

    def prior(self, latents: Latents) -> Tensor:
        """Objects inside the canvas, apart from each other, not too small, little dye; [B]."""
        return torch.stack([self._prior(latents, b) for b in range(_len(latents))])

    def _prior(self, latents: Latents, b: int) -> Tensor:
        place, scale = latents["place"][b], latents["scale"][b]
        loss = _DYE * torch.sigmoid(latents["dye"][b]).sum()
        # quiet, light backdrops, unless the words ask for others
        backdrop = self._backdrop(latents, b)
        chroma = backdrop.amax(1) - backdrop.amin(1)
        loss = loss + _COLOURFUL * chroma.square().mean()
        loss = loss + _DARK * (1 - backdrop.mean()).square()
        patches = latents["patch"][b].tolist()
        objects = [
            (s, i) for s, i in enumerate(patches) if i != EMPTY and self._groups[i] != "scene"
        ]
        half = {s: scale[s].exp() * scale.new_tensor(self.vocabulary.shape(i)) for s, i in objects}
        shorter = min(self.size)
        edge = place.new_tensor([self.size[1] / shorter, self.size[0] / shorter])
        # objects share the canvas: one alone fills most of it
        least = math.log(0.8) - 0.5 * math.log(max(len(objects), 1))
        if objects:
            # CLIP's crops do not mind where things are; people like them balanced about the middle
            loss = loss + _UNBALANCED * place[[s for s, _ in objects]].mean(0).square().sum()
        for n, (s, _) in enumerate(objects):
            outside = F.relu(place[s].abs() + 0.95 * half[s] - edge)
            loss = loss + _OUTSIDE * outside.square().sum()
            loss = loss + _SMALL * F.relu(least - scale[s]).square()
            loss = loss + _TURNED * latents["angle"][b, s].square()
            for other, _ in objects[:n]:
                reach = 0.8 * (half[s] + half[other])
                overlap = F.relu(reach - (place[s] - place[other]).abs())
                smaller = torch.minimum(half[s].prod(), half[other].prod())
                loss = loss + _OVERLAP * overlap.prod() / (4 * smaller).clamp(min=1e-3)
        return loss

    def propose(
        self, latents: Latents, *, rngs: Sequence[torch.Generator], preference: Sequence[Preference]
    ) -> Latents:
        """Change one thing of each picture: patch, place, colour, order or backdrop."""
        changed = {name: value.clone() for name, value in latents.items()}
        for b, rng in enumerate(rngs):
            fresh = self._lay_out(rng, preference[b])
            _mutate({k: v[b] for k, v in changed.items()}, fresh, rng)
        self.constrain_(changed)
        return changed


def _centres(pixels: int, device: torch.device) -> Tensor:
    """Where the centres of pixels lie on a side from -1 to 1."""
    return (torch.arange(pixels, device=device) * 2 + 1) / pixels - 1


def _mutate(row: Latents, fresh: Latents, rng: torch.Generator) -> None:
    """Carry one feature of another drawn picture over, in place."""
    used = (row["patch"] != EMPTY).nonzero().flatten().tolist()
    kind = int(torch.randint(0, 6, (1,), generator=rng))
    slot = used[int(torch.randint(0, len(used), (1,), generator=rng))]
    pick = int(torch.randint(0, 2**31, (1,), generator=rng))
    if kind == 0:
        row["backdrop"][:] = fresh["backdrop"].to(row["backdrop"])
    elif kind in (1, 2):
        # another drawing for the same phrase
        same = (fresh["phrase"] == row["phrase"][slot].cpu()) & (fresh["patch"] != EMPTY)
        options = same.nonzero().flatten().tolist()
        if options:
            other = options[pick % len(options)]
            row["patch"][slot] = fresh["patch"][other]
            if kind == 2:  # laid where the fresh picture has it
                for name in ("place", "scale", "angle"):
                    row[name][slot] = fresh[name][other].to(row[name])
            for name in ("tint", "dye"):
                row[name][slot] = fresh[name][other].to(row[name])
    elif kind == 3:
        row["place"][slot] = fresh["place"][slot].to(row["place"])
    elif kind == 4:
        row["scale"][slot] += 0.6 * (pick % 2) - 0.3
    elif len(used) > 1:
        other = used[pick % len(used)]
        for value in (v for k, v in row.items() if k not in ("backdrop", "pinned")):
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

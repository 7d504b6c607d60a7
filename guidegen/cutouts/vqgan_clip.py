"""VQGAN-CLIP's cutouts: not crops, but the whole image, warped, recoloured and part-erased."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.cutouts.warping import jitter, matrix, sampling_grid

# Corners of the image in [-1, 1], all the way round.
_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)


@dataclass(frozen=True)
class Looks:
    """The drawn parameters of `n` looks per candidate; what was not chosen changes nothing.

    Attributes:
        warp: [B, n, 3, 3] output coordinates to image coordinates, both in [-1, 1].
        colour: [B, n, 3] factors of brightness, contrast and saturation.
        hue: [B, n] turns of the colour circle.
        erased: [B, 4] left, top, right and bottom of what is black in all looks, 0 to 1.
        noise: [B, n, 3, S, S] ready to add, or None.
    """

    warp: Tensor
    colour: Tensor
    hue: Tensor
    erased: Tensor
    noise: Tensor | None

    def rows(self, index: slice) -> "Looks":
        """The looks of some candidates."""
        noise = None if self.noise is None else self.noise[index]
        return Looks(
            self.warp[index], self.colour[index], self.hue[index], self.erased[index], noise
        )


@dataclass(frozen=True, kw_only=True)
class VqganClipCutouts:
    """The image pooled to the cutouts' size once, then augmented for each.

    Affine and perspective make one homography, so that a cutout is resampled once (kornia does it
    twice). The hue turns about the grey axis (in kornia through HSV); colours are not clamped.

    Attributes:
        count: cutouts per candidate and step.
        noise: highest standard deviation of the added noise; each draws its own, U(0, noise).
        chance: with which each augmentation is done.
        rotation: largest angle in degrees; shear: the same along x.
        shift: largest move in parts of the image.
        perspective: how far towards the centre a corner may move.
        jitter: largest relative change of brightness, contrast and saturation, and turn of the hue.
        erase: smallest and largest part of the image that is made black; `ratio`: its height over
            its width.

    Source: repository nerdyrodent/VQGAN-CLIP, `MakeCutouts` ("latest") with its default
    augmentations "Af", "Pe", "Ji", "Er".
    """

    count: int = 32
    noise: float = 0.1
    chance: float = 0.7
    rotation: float = 15.0
    shear: float = 5.0
    shift: float = 0.1
    perspective: float = 0.7
    jitter: float = 0.1
    erase: tuple[float, float] = (0.1, 0.4)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)

    def draw(self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0) -> Looks:
        """Draw one step's looks; see `guidegen.cutouts.Cutouts`."""
        drawn = [self._draw_one(rng, size) for rng in rngs]
        noise = [look.noise for look in drawn if look.noise is not None]
        return Looks(
            warp=torch.stack([look.warp for look in drawn]),
            colour=torch.stack([look.colour for look in drawn]),
            hue=torch.stack([look.hue for look in drawn]),
            erased=torch.stack([look.erased for look in drawn]),
            noise=torch.stack(noise) if noise else None,
        )

    def _draw_one(self, rng: torch.Generator, size: int) -> Looks:
        n = self.count
        u = torch.rand(n, 20, generator=rng, dtype=torch.float64)
        done = u[:, :3] < self.chance
        signed = u * 2 - 1
        same = torch.eye(3, dtype=torch.float64).expand(n, 3, 3)
        affine = torch.where(done[:, 0, None, None], self._affine(signed[:, 3:7]), same)
        tilt = torch.where(done[:, 1, None, None], self._tilt(u[:, 7:15]), same)
        turned = torch.where(done[:, 2, None], signed[:, 15:19] * self.jitter, 0.0).float()
        noise = None
        if self.noise:
            sigma = (self.noise * u[:, 19]).float().view(n, 1, 1, 1)
            noise = sigma * torch.randn(n, 3, size, size, generator=rng)
        erased = self._erased(torch.rand(6, generator=rng).tolist())
        # the image goes through the affine first, so the way back through it is the last
        warp = (affine @ tilt).float()
        return Looks(warp, 1 + turned[:, :3], turned[:, 3], erased, noise)

    def _affine(self, signed: Tensor) -> Tensor:
        """Homographies [n, 3, 3] from the moved image back to the image."""
        angle = torch.deg2rad(signed[:, 0] * self.rotation)
        shear = torch.deg2rad(signed[:, 1] * self.shear).tan()
        x, y = signed[:, 2] * 2 * self.shift, signed[:, 3] * 2 * self.shift
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        cos, sin = angle.cos(), angle.sin()
        turn = matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)
        lean = matrix(one, shear, zero, zero, one, zero, zero, zero, one)
        move = matrix(one, zero, x, zero, one, y, zero, zero, one)
        back: Tensor = torch.linalg.inv(move @ turn @ lean)
        return back

    def _tilt(self, u: Tensor) -> Tensor:
        """Homographies [n, 3, 3] from corners moved inwards back to the image's corners."""
        moved = _CORNERS * (1 - self.perspective * u.view(-1, 4, 2))
        return homography(moved, _CORNERS.expand_as(moved))

    def _erased(self, u: Sequence[float]) -> Tensor:
        """The rectangle [4] to be made black, or an empty one."""
        if u[0] >= self.chance:
            return torch.zeros(4)
        low, high = self.erase
        area = low + (high - low) * u[1]
        # as often flat as tall
        low, high = (self.ratio[0], 1.0) if u[2] < 0.5 else (1.0, self.ratio[1])
        ratio = low + (high - low) * u[3]
        tall, wide = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
        left, top = u[4] * (1 - wide), u[5] * (1 - tall)
        return torch.tensor([left, top, left + wide, top + tall])

    def take(
        self, images: Tensor, drawn: Looks, *, size: int, chunk: slice | None = None
    ) -> Tensor:
        """Pool, warp, recolour, erase, add noise; see `guidegen.cutouts.Cutouts`."""
        batch, n = drawn.hue.shape
        chunk = chunk or slice(0, batch * n)
        owner = torch.arange(batch).repeat_interleave(n)[chunk]
        count, device = len(owner), images.device
        pooled = (F.adaptive_avg_pool2d(images, size) + F.adaptive_max_pool2d(images, size)) / 2
        source = pooled if batch == 1 else pooled[owner.to(device)]
        warp = drawn.warp.flatten(0, 1)[chunk].to(device)
        out = F.grid_sample(
            source.expand(count, -1, -1, -1), sampling_grid(warp, size), align_corners=False
        )
        out = jitter(out, drawn.colour.flatten(0, 1)[chunk].to(device))
        turn = hue_matrix(drawn.hue.flatten()[chunk]).to(device)
        out = torch.einsum("nij,njhw->nihw", turn, out)
        out = out * _kept(drawn.erased, size)[owner].to(device)
        if drawn.noise is not None:
            out = out + drawn.noise.flatten(0, 1)[chunk].to(device, out.dtype)
        return out


def homography(source: Tensor, target: Tensor) -> Tensor:
    """The homographies [n, 3, 3] that take four points to four others, both [n, 4, 2]."""
    x, y = source.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    equations = []
    for row, to in (((x, y, one, zero, zero, zero), 0), ((zero, zero, zero, x, y, one), 1)):
        goal = target[..., to]
        equations.append(torch.stack([*row, -x * goal, -y * goal], -1))
    goals = torch.cat([target[..., 0], target[..., 1]], -1)
    solved = torch.linalg.solve(torch.cat(equations, -2), goals)
    return torch.cat([solved, torch.ones_like(solved[:, :1])], -1).view(-1, 3, 3)


def hue_matrix(turns: Tensor) -> Tensor:
    """Rotations [n, 3, 3] of RGB about the grey axis by `turns` [n] of a whole turn (Rodrigues)."""
    angle = (2 * math.pi * turns).view(-1, 1, 1)
    root = 3**-0.5
    cross = torch.tensor([[0.0, -root, root], [root, 0.0, -root], [-root, root, 0.0]])
    return angle.cos() * torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) / 3


def _kept(erased: Tensor, size: int) -> Tensor:
    """Masks [B, 1, S, S]: 0 within the rectangles [B, 4], 1 elsewhere."""
    middle = (torch.arange(size) + 0.5) / size
    left, top, right, bottom = erased.view(-1, 4, 1).unbind(1)
    across = (middle >= left) & (middle < right)
    down = (middle >= top) & (middle < bottom)
    return (~(down[:, None, :, None] & across[:, None, None, :])).float()

"""VQGAN-CLIP's cutouts: not crops, but the whole image, warped, recoloured and part-erased."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from guidegen.cutouts.noise import Noise, draw_noise, noise_of
from guidegen.cutouts.warping import jitter, matrix, of_each_view, owners, sampling_grid

# Corners of the image in [-1, 1], all the way round.
_CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)


@dataclass(frozen=True)
class AugmentationParameters:
    """The parameters of `n` cutouts per candidate; what was not chosen changes nothing.

    Attributes:
        warp: [B, n, 3, 3] output coordinates to image coordinates, both in [-1, 1].
        colour: [B, n, 3] factors of brightness, contrast and saturation.
        hue: [B, n] turns of the colour circle.
        erased: [B, 4] left, top, right and bottom of what is black in all cutouts, 0 to 1.
        noise: of each candidate's cutouts, [n, 3, S, S]; None is none.
    """

    warp: Tensor
    colour: Tensor
    hue: Tensor
    erased: Tensor
    noise: Sequence[Noise] | None

    def rows(self, index: slice) -> "AugmentationParameters":
        """The cutouts of some candidates."""
        noise = None if self.noise is None else self.noise[index]
        return AugmentationParameters(
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

    def sample(
        self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0
    ) -> AugmentationParameters:
        """Sample one step's cutouts; see `guidegen.cutouts.Cutouts`."""
        each = [self._sample_one(rng, size) for rng in rngs]
        noise = [noise for one in each for noise in one.noise or ()]
        return AugmentationParameters(
            warp=torch.stack([one.warp for one in each]),
            colour=torch.stack([one.colour for one in each]),
            hue=torch.stack([one.hue for one in each]),
            erased=torch.stack([one.erased for one in each]),
            noise=noise or None,
        )

    def _sample_one(self, rng: torch.Generator, size: int) -> AugmentationParameters:
        n = self.count
        numbers = torch.rand(n, 20, generator=rng, dtype=torch.float64)
        chances, moves, corners, colours, noise_levels = numbers.split([3, 4, 8, 4, 1], 1)
        warped, tilted, coloured = (chances < self.chance).unbind(1)
        same = torch.eye(3, dtype=torch.float64).expand(n, 3, 3)
        affine = torch.where(warped[:, None, None], self._affine(moves * 2 - 1), same)
        tilt = torch.where(tilted[:, None, None], self._tilt(corners), same)
        turned = torch.where(coloured[:, None], (colours * 2 - 1) * self.jitter, 0.0).float()
        noise = None
        if self.noise:
            noise = [draw_noise((self.noise * noise_levels).float(), size, rng)]
        erased = self._erased(torch.rand(6, generator=rng).tolist())
        # the image goes through the affine first, so the way back through it is the last
        warp = (affine @ tilt).float()
        return AugmentationParameters(warp, 1 + turned[:, :3], turned[:, 3], erased, noise)

    def _affine(self, signed: Tensor) -> Tensor:
        """Homographies [n, 3, 3] from the moved image back to the image.

        Args:
            signed: [n, 4] in [-1, 1]: angle, shear, shift along x and along y.
        """
        angle, shear, x, y = signed.unbind(1)
        angle = torch.deg2rad(angle * self.rotation)
        shear = torch.deg2rad(shear * self.shear).tan()
        x, y = x * 2 * self.shift, y * 2 * self.shift
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

    def _erased(self, numbers: Sequence[float]) -> Tensor:
        """The rectangle [4] to be made black, or an empty one, from six numbers in [0, 1)."""
        chance, area, flat, ratio, left, top = numbers
        if chance >= self.chance:
            return torch.zeros(4)
        low, high = self.erase
        area = low + (high - low) * area
        # as often flat as tall
        low, high = (self.ratio[0], 1.0) if flat < 0.5 else (1.0, self.ratio[1])
        ratio = low + (high - low) * ratio
        tall, wide = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
        left, top = left * (1 - wide), top * (1 - tall)
        return torch.tensor([left, top, left + wide, top + tall])

    def take(
        self,
        images: Tensor,
        parameters: AugmentationParameters,
        *,
        size: int,
        chunk: slice | None = None,
    ) -> Tensor:
        """Pool, warp, recolour, erase, add noise; see `guidegen.cutouts.Cutouts`."""
        batch, n = parameters.hue.shape
        chunk = chunk or slice(0, batch * n)
        device = images.device
        pooled = (F.adaptive_avg_pool2d(images, size) + F.adaptive_max_pool2d(images, size)) / 2
        warp = parameters.warp.flatten(0, 1)[chunk].to(device)
        owner = owners(batch, n, chunk)
        source = of_each_view(pooled, owner)
        out = F.grid_sample(source, sampling_grid(warp, size), align_corners=False)
        out = jitter(out, parameters.colour.flatten(0, 1)[chunk].to(device))
        turn = hue_matrix(parameters.hue.flatten()[chunk]).to(device)
        out = torch.einsum("nij,njhw->nihw", turn, out)
        out = out * of_each_view(_kept(parameters.erased, size), owner).to(device)
        if parameters.noise is not None:
            out = out + noise_of(parameters.noise, chunk).to(device, out.dtype)
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

"""Prompts of parts of the picture, each with views of its own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidegen.cutouts import ChangingCutouts, Cutouts, CutoutSettings
from guidegen.errors import ConfigError, about
from guidegen.guidance.losses.clip import ClipDistance
from guidegen.guidance.objective import Term
from guidegen.guidance.targets import encode_targets
from guidegen.interfaces import Candidate, Decoded, Images, LossContext, Perceptor, Viewed
from guidegen.media.images import read_grey
from guidegen.ops import known_gradient
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.regions import Box, Region

# A power of two, which changes no digit but keeps fp16's small gradients from zero.
_SCALE = 1024.0
_AT_ONCE = 16


@dataclass(frozen=True)
class RegionLoss:
    """CLIP's distance of views of one part of the picture to that part's prompt.

    Attributes:
        number: of the region; its views are not those of another.
        box: LEFT, TOP, RIGHT, BOTTOM in parts of the picture.
        inside: [1, 1, H, W], 1 where the gradient may change the picture; None for all of the box.
        cutouts: the views of it that are taken in each step.
        distance: as the prompts of the whole picture count.
        perceptors: with weights that sum to one.
        seeds: of the candidates.
    """

    number: int
    box: Box
    inside: Tensor | None
    cutouts: CutoutSettings
    distance: ClipDistance
    perceptors: Sequence[tuple[Perceptor, float]]
    seeds: Sequence[int]

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G]; see `guidegen.interfaces.ImageLoss`."""
        wanted = torch.is_grad_enabled() and decoded.images.requires_grad
        leaf = decoded.images.detach().requires_grad_(wanted)
        side = max(perceptor.input_size for perceptor, _ in self.perceptors)
        rngs = [self._rng(self.seeds[b], decoded.progress) for b in decoded.candidates]
        height, width = _cut(leaf, self.box).shape[-2:]
        parameters = self.cutouts.sample(rngs=rngs, size=side, aspect=width / height)
        owners = [b for b in decoded.candidates for _ in range(self.cutouts.count)]
        whole = leaf.new_zeros(len(leaf))
        # a few views at a time, whose gradient is kept: memory does not grow with their number
        for start in range(0, len(owners), _AT_ONCE):
            chunk = slice(start, min(start + _AT_ONCE, len(owners)))
            part = _cut(self._masked(leaf), self.box)
            views = self.cutouts.take(part, parameters, size=side, chunk=chunk)
            losses = self._losses_of(views, owners[chunk], decoded.progress)
            if wanted:
                (losses.sum() * _SCALE).backward()
            row = torch.tensor([b - decoded.candidates.start for b in owners[chunk]])
            whole.index_add_(0, row.to(whole.device), losses.detach())
        if leaf.grad is None:
            return whole
        return known_gradient(whole, decoded.images, leaf.grad / _SCALE)

    def _masked(self, images: Images) -> Images:
        """The images, with a gradient only where the region is."""
        if self.inside is None:
            return images
        inside = self.inside.to(images)
        return inside * images + (1 - inside) * images.detach()

    def _losses_of(self, views: Images, owners: Sequence[int], progress: float) -> Tensor:
        """Losses [m] of views, each as its part of the mean over a picture's views."""
        losses = views.new_zeros(len(views))
        for perceptor, weight in self.perceptors:
            seen = Viewed(perceptor.encode_image(views), views, perceptor, owners, progress)
            losses = losses + weight * self.distance.view_loss(seen)
        return losses / self.cutouts.count

    def _rng(self, seed: int, progress: float) -> torch.Generator:
        """Random numbers of one step that depend on nothing else, so a resumed run has the same."""
        text = f"{seed} {self.number} {progress:.9f}".encode()
        digest = hashlib.blake2b(text, digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest))


def region_terms(
    regions: Sequence[Region],
    context: LossContext,
    *,
    cutouts: Cutouts,
    template: str = "",
) -> list[Term]:
    """A term for each region, called region-1 and so on.

    Args:
        regions: as the user writes them.
        context: of the run.
        cutouts: of the whole picture; each region gets half as many views, and no fewer than 4, by
            our own method.
        template: put around the words, as around the prompt's.
    """
    if isinstance(cutouts, ChangingCutouts):
        cutouts = cutouts.first
    usual = cutouts if isinstance(cutouts, CutoutSettings) else CutoutSettings()
    own = replace(usual, count=max(4, cutouts.count // 2))
    terms = []
    for number, region in enumerate(regions, 1):
        wanted = [replace(c, prompts=parse_prompt(region.text), scenes=(), references=())
                  for c in context.candidates]  # fmt: skip
        targets = {
            each.name: encode_targets(each, wanted, template=template)
            for each, _ in context.perceptors
        }
        inside = None if region.mask is None else read_region(region, context.generator.size)
        box = region.box or _box_of(inside)
        loss = RegionLoss(
            number,
            box,
            inside,
            own,
            ClipDistance(targets, context.distance),
            context.perceptors,
            [_seed(candidate) for candidate in context.candidates],
        )
        terms.append(Term(region.schedule, loss))
    return terms


def read_region(region: Region, size: tuple[int, int]) -> Tensor:
    """The mask of a region, [1, 1, H, W].

    Raises:
        GuidegenError: it can't be read, has another shape than the picture, or no white.
    """
    assert region.mask is not None
    with about("region"):
        mask = read_grey(region.mask, size, "mask", shape=size)
        if mask.max() < 0.5:
            raise ConfigError(f"the mask {region.mask} has no white, so there is no region")
    return mask


def _seed(candidate: Candidate) -> int:
    return candidate.rng.initial_seed()


def _box_of(inside: Tensor | None) -> Box:
    """The smallest box around what is not black."""
    assert inside is not None
    height, width = inside.shape[-2:]
    rows = (inside[0, 0].amax(1) > 0.5).nonzero().flatten()
    columns = (inside[0, 0].amax(0) > 0.5).nonzero().flatten()
    left, right = int(columns[0]) / width, (int(columns[-1]) + 1) / width
    top, bottom = int(rows[0]) / height, (int(rows[-1]) + 1) / height
    return left, top, right, bottom


def _cut(images: Images, box: Box) -> Images:
    height, width = images.shape[-2:]
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    return images[..., top : max(bottom, top + 1), left : max(right, left + 1)]

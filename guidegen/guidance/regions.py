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
from guidegen.ops import scale_gradient
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.regions import Box, Region

# A power of two, which changes no digit but keeps fp16's small gradients from zero.
_SCALE = 1024.0


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
        images = decoded.images
        if self.inside is not None:
            inside = self.inside.to(images)
            images = inside * images + (1 - inside) * images.detach()
        part = _cut(scale_gradient(images, 1 / _SCALE), self.box)
        side = max(perceptor.input_size for perceptor, _ in self.perceptors)
        rngs = [self._rng(self.seeds[b], decoded.progress) for b in decoded.candidates]
        height, width = part.shape[-2:]
        parameters = self.cutouts.sample(rngs=rngs, size=side, aspect=width / height)
        views = self.cutouts.take(part, parameters, size=side)
        owners = [b for b in decoded.candidates for _ in range(self.cutouts.count)]
        whole = images.new_zeros(len(images))
        for perceptor, weight in self.perceptors:
            features = scale_gradient(perceptor.encode_image(views), _SCALE)
            seen = Viewed(features, views, perceptor, owners, decoded.progress)
            losses = self.distance.view_loss(seen).view(len(images), -1)
            whole = whole + weight * losses.mean(1)
        return whole

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

"""Turns latents into losses, and their gradients at the latents.

Gradients of the cutout micro-batches are accumulated at the image, so the generator runs forward
and backward once a step and memory does not grow with the number of cutouts.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.perceptor import Ensemble
from guidegen.cutouts import ChangingCutouts, CutoutParameters, Cutouts
from guidegen.guidance.budget import Budget, is_out_of_memory
from guidegen.guidance.objective import Objective, total
from guidegen.guidance.schedule import coarseness
from guidegen.interfaces import Candidate, Decoded, Generator, Images, Latents, Viewed
from guidegen.ops import floating, joined, rows

log = logging.getLogger(__name__)

# Views that are warped together; a divisor of the usual micro-batches.
_PART = 8
# Of the loss before it goes back through CLIP.
_SCALE = 1024.0


@dataclass(frozen=True)
class LossEvaluator:
    """Evaluates the losses of a run's candidates, and their gradients.

    Attributes:
        generator: latents to images.
        objective: what is minimised.
        perceptors: the CLIPs.
        cutouts: which views they see.
        candidates: whose images these are.
        budget: how much goes through the networks at once; changed where memory runs out.
        doublings: of the resolution at which the picture is seen, in the course of the run.
    """

    generator: Generator
    objective: Objective
    perceptors: Ensemble
    cutouts: Cutouts
    candidates: Sequence[Candidate]
    budget: Budget = field(default_factory=Budget)
    doublings: int = 0

    def sample_cutouts(
        self, candidates: range | None = None, progress: float = 0.0
    ) -> CutoutParameters:
        """Cutouts of one step for some candidates (None: all), from their own RNGs."""
        height, width = self.generator.size
        numbers = range(len(self.candidates)) if candidates is None else candidates
        cutouts = self.cutouts
        if isinstance(cutouts, ChangingCutouts):
            cutouts = cutouts.at(progress)
        sampled: CutoutParameters = cutouts.sample(
            rngs=[self.candidates[b].rng for b in numbers],
            size=self.perceptors.input_size,
            aspect=width / height,
        )
        return sampled

    def evaluate_all(
        self, latents: Latents, cutouts: CutoutParameters, progress: float, *, backward: bool
    ) -> tuple[Images, dict[str, Tensor]]:
        """Images and losses of all candidates, a group at a time; see `evaluate`.

        Where memory runs out, again in smaller groups.

        Returns:
            Detached images [B, 3, H, W]; losses, each [B], and "total", their sum.
        """
        while True:
            try:
                return self._in_groups(latents, cutouts, progress, backward=backward)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self.budget.halve_group()
            # outside of the except block, whose traceback holds on to the tensors
            for leaf in floating(latents).values():
                _forget_gradient(leaf)

    def _in_groups(
        self, latents: Latents, cutouts: CutoutParameters, progress: float, *, backward: bool
    ) -> tuple[Images, dict[str, Tensor]]:
        images, losses = [], []
        for group in list(self.groups()):
            span = slice(group.start, group.stop)
            shown, found = self.evaluate(
                rows(latents, span), cutouts.rows(span), group, progress, backward=backward
            )
            images.append(shown)
            losses.append(found)
        together = joined(losses)
        return torch.cat(images), {"total": total(together), **together}

    def evaluate(
        self,
        latents: Latents,
        cutouts: CutoutParameters,
        candidates: range,
        progress: float = 0.0,
        *,
        backward: bool,
    ) -> tuple[Images, dict[str, Tensor]]:
        """Image and losses of some candidates; with `backward`, gradients at the latents.

        Args:
            latents: rows of these candidates.
            cutouts: rows of these candidates.
            candidates: their numbers.
            progress: share of the run that is over, 0 to 1.
            backward: add the gradient to `.grad` of the floating latents.

        Returns:
            Detached images [G, 3, H, W] and the weighted loss [G] of every term; zero for those
            that do not count now.
        """
        with torch.set_grad_enabled(backward):
            images = self.generator.decode(latents)
            if self.doublings:
                images = coarse(images, coarseness(self.doublings, progress))
            decoded = Decoded(images, latents, candidates, progress)
            of_images = self.objective.image_losses(decoded)
        seen = images.detach().requires_grad_(backward)
        of_views = self._view_losses(seen, cutouts, candidates, progress, backward=backward)
        if backward:
            # d loss / d latents = d loss / d image · d image / d latents, plus the terms' own
            ends, grads = [images], [torch.zeros_like(seen) if seen.grad is None else seen.grad]
            for loss in of_images.values():
                if loss.requires_grad:
                    ends.append(loss)
                    grads.append(torch.ones_like(loss))
            torch.autograd.backward(ends, grads)
        zero = torch.zeros(len(candidates), device=seen.device)
        losses = dict.fromkeys((term.name for term in self.objective.terms), zero)
        for found in (of_views, of_images):
            for name, loss in found.items():
                losses[name] = losses[name] + loss.detach()
        return seen.detach(), losses

    def _view_losses(
        self,
        images: Images,
        cutouts: CutoutParameters,
        candidates: range,
        progress: float,
        *,
        backward: bool,
    ) -> dict[str, Tensor]:
        """Losses [G] of the images' views; with `backward` their gradient in `images.grad`.

        Where memory runs out, the same views are evaluated again in halves.
        """
        if not self.objective.needs_views(progress):
            return {}
        while True:
            try:
                return self._micro_batches(images, cutouts, candidates, progress, backward=backward)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self.budget.halve_views()
            # outside of the except block, whose traceback holds on to the tensors
            _forget_gradient(images)

    def _micro_batches(
        self,
        images: Images,
        cutouts: CutoutParameters,
        candidates: range,
        progress: float,
        *,
        backward: bool,
    ) -> dict[str, Tensor]:
        count = self.cutouts.count
        of_view = [candidate for candidate in candidates for _ in range(count)]
        sums: dict[str, Tensor] = {}
        for start in range(0, len(of_view), self.budget.views):
            chunk = slice(start, min(start + self.budget.views, len(of_view)))
            with torch.no_grad():
                views = self._cut(images, cutouts, chunk)
            views.requires_grad_(backward)
            with torch.set_grad_enabled(backward):
                losses = self._losses_of(views, of_view[chunk], progress)
                if backward:
                    # a power of two changes no digit but keeps fp16's small gradients from zero
                    (total(losses).sum() * _SCALE).backward()
            if views.grad is not None:
                self._pull_back(images, cutouts, chunk, views.grad / _SCALE)
            row = torch.tensor([candidate - candidates.start for candidate in of_view[chunk]])
            for name, loss in losses.items():
                zero = torch.zeros(len(candidates), device=images.device)
                sums.setdefault(name, zero).index_add_(0, row.to(images.device), loss.detach())
        return sums

    def _losses_of(
        self, views: Images, candidates: Sequence[int], progress: float
    ) -> dict[str, Tensor]:
        """Each term's loss [m] of m views, as a part of the mean over a picture's views."""
        parts = [
            (Viewed(perceptor.encode_image(views), views, perceptor, candidates, progress), weight)
            for perceptor, weight in self.perceptors
        ]
        losses = self.objective.view_losses(parts)
        return {name: loss / self.cutouts.count for name, loss in losses.items()}

    def _cut(self, images: Images, cutouts: CutoutParameters, chunk: slice) -> Tensor:
        size = self.perceptors.input_size
        parts = [self.cutouts.take(images, cutouts, size=size, chunk=p) for p in _parts(chunk)]
        return torch.cat(parts)

    def _pull_back(
        self, images: Images, cutouts: CutoutParameters, chunk: slice, grad: Tensor
    ) -> None:
        """Add the gradient at the views to the gradient at the images.

        The views are warped anew rather than kept with their graph, so that memory stays that of
        one part; a warp costs little beside CLIP. Parts are the same for every micro-batch size,
        and so is the order in which the image sums their gradients.
        """
        size = self.perceptors.input_size
        for part in _parts(chunk):
            with torch.enable_grad():
                views = self.cutouts.take(images, cutouts, size=size, chunk=part)
            views.backward(grad[part.start - chunk.start : part.stop - chunk.start])

    def groups(self) -> Iterator[range]:
        """Candidates' numbers, `budget.group` at a time."""
        n = len(self.candidates)
        for start in range(0, n, self.budget.group):
            yield range(start, min(start + self.budget.group, n))

    def with_objective(self, objective: Objective) -> "LossEvaluator":
        """The same with another objective, and the same budget."""
        return replace(self, objective=objective)


def coarse(images: Images, halvings: int) -> Images:
    """Pictures [B, 3, H, W] of the same size, without what a smaller picture could not show.

    So is their gradient: a block of pixels moves as one, as if the smaller picture was optimised.
    """
    if halvings == 0:
        return images
    size = images.shape[-2:]
    small = [max(4, side >> halvings) for side in size]
    images = F.interpolate(images, small, mode="area")
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


def _parts(chunk: slice) -> list[slice]:
    """A chunk of views in parts of `_PART`."""
    starts = range(chunk.start, chunk.stop, _PART)
    return [slice(start, min(start + _PART, chunk.stop)) for start in starts]


def _forget_gradient(leaf: Tensor) -> None:
    leaf.grad = None
    if leaf.is_cuda:
        torch.cuda.empty_cache()

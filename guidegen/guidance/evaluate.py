"""The parts of the loop that turn latents into losses, and their gradients at the latents.

Gradients of the cutout micro-batches are accumulated at the image, so the generator runs forward
and backward once a step and memory does not grow with the number of cutouts.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from guidegen.cutouts import Cutouts, Drawn
from guidegen.errors import OptimizationError
from guidegen.guidance.camera import Motion
from guidegen.guidance.losses import mean_square
from guidegen.guidance.objective import Objective
from guidegen.interfaces import Candidate, Generator, Images, Latents
from guidegen.ops import rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How the loop runs.

    Attributes:
        steps: updates of the latents.
        lr: learning rate at the start; a half cosine takes it to `lr_end` of that.
        lr_end: last learning rate as a part of the first.
        optimizer: a key of `OPTIMIZERS`.
        cutout_batch: views that go through CLIP at once.
        group: candidates that go through the generator together. One on a CPU: kernels there pick
            their order of summation by the batch's size, and a candidate's result must not depend
            on its neighbours.
        propose_every: steps between proposals of other choices, for generators that make them.
        check_every: steps between checks that the loss is finite; each waits for the device.
        scenes: of the story; the learning rate falls in the last of them only.
        motion: moves of the camera between steps; None is a still picture.
    """

    steps: int
    lr: float
    lr_end: float = 0.1
    optimizer: str = "adam"
    cutout_batch: int = 32
    group: int = 1
    propose_every: int = 3
    check_every: int = 10
    scenes: int = 1
    motion: Motion | None = None

    def part(self, index: int) -> float:
        """How much of its scene is over at a step, 0 to 1."""
        place = index / max(self.steps, 1) * self.scenes
        return place - min(int(place), self.scenes - 1)


# Views that are warped together; a divisor of the usual micro-batches.
_PART = 8
# Of the loss before it goes back through CLIP.
_SCALE = 1024.0


@dataclass
class Budget:
    """How much goes through the networks at once; halved whenever memory runs out.

    Attributes:
        views: cutouts through CLIP.
        group: candidates through the generator.
    """

    views: int
    group: int

    def halve_views(self) -> None:
        """Go on with half as many cutouts at a time.

        Raises:
            OptimizationError: there is no half of one.
        """
        if self.views == 1:
            raise OptimizationError(
                "out of memory even with one cutout at a time; try a smaller --size or perceptor"
            )
        self.views //= 2
        log.warning("out of memory: going on with %d cutouts at a time", self.views)

    def halve_group(self) -> None:
        """Go on with half as many pictures at a time.

        Raises:
            OptimizationError: there is no half of one.
        """
        if self.group == 1:
            raise OptimizationError("out of memory even with one picture; try a smaller --size")
        self.group //= 2
        log.warning("out of memory: going on with %d pictures at a time", self.group)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch says that memory ran out; on a CPU it says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _parts(chunk: slice) -> list[slice]:
    """A chunk of views in parts of `_PART`."""
    starts = range(chunk.start, chunk.stop, _PART)
    return [slice(start, min(start + _PART, chunk.stop)) for start in starts]


@dataclass(frozen=True)
class Loop:
    """The parts that turn latents into losses.

    Attributes:
        generator: latents to images.
        objective: features to losses.
        cutouts: which views CLIP sees.
        candidates: whose images these are.
        settings: how it runs.
        anchor: the start that `Objective.init` pulls to; empty pulls nowhere.
        budget: the batches in use, those of the settings until memory runs out.
    """

    generator: Generator
    objective: Objective
    cutouts: Cutouts
    candidates: Sequence[Candidate]
    settings: LoopSettings
    anchor: Latents = field(default_factory=dict)
    budget: Budget = field(default_factory=lambda: Budget(0, 0))

    def __post_init__(self) -> None:
        if self.budget.views == 0:
            self.budget.views = self.settings.cutout_batch
            self.budget.group = self.settings.group

    @property
    def view_size(self) -> int:
        """Side of the cutouts in pixels: what the CLIP with the largest input takes."""
        return max(eye.perceptor.input_size for eye in self.objective.eyes)

    def draw(self, owners: range | None = None) -> Drawn:
        """Views of one step for the candidates `owners` (None: all), from their own RNGs."""
        height, width = self.generator.size
        who = self.candidates if owners is None else [self.candidates[b] for b in owners]
        drawn: Drawn = self.cutouts.draw(
            rngs=[candidate.rng for candidate in who], size=self.view_size, aspect=width / height
        )
        return drawn

    def evaluate(
        self, latents: Latents, views: Drawn, owners: range, *, backward: bool
    ) -> tuple[Images, dict[str, Tensor]]:
        """Image and losses of the candidates `owners`; with `backward`, gradients at the latents.

        Args:
            latents: rows of these candidates.
            views: rows of these candidates.
            owners: their numbers.
            backward: add the gradient to `.grad` of the floating latents.

        Returns:
            Detached images [G, 3, H, W] and losses, each [G].
        """
        with torch.set_grad_enabled(backward):
            images = self.generator.decode(latents)
            own = {"prior": self.objective.prior * self.generator.prior(latents)}
            if self.objective.init and self.anchor:
                start = rows(self.anchor, slice(owners.start, owners.stop))
                own["init"] = self.objective.init * mean_square(latents, start)
        seen = images.detach().requires_grad_(backward)
        clip = self._look(seen, views, owners, backward=backward)
        losses = {"clip": clip, **{name: loss.detach() for name, loss in own.items()}}
        if backward:
            # d loss / d latents = d loss / d image · d image / d latents, plus the latents' own
            ends, grads = [images], [seen.grad]
            for loss in own.values():
                if loss.requires_grad:
                    ends.append(loss)
                    grads.append(torch.ones_like(loss))
            torch.autograd.backward(ends, grads)
        return seen.detach(), losses

    def _look(self, seen: Images, views: Drawn, owners: range, *, backward: bool) -> Tensor:
        """Loss [G] of the images `seen`; with `backward` their gradient in `seen.grad`.

        Where memory runs out, the same views are looked at again in halves.
        """
        while True:
            try:
                return self._look_at(seen, views, owners, backward=backward)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self.budget.halve_views()
            # outside of the except block, whose traceback holds on to the tensors
            seen.grad = None
            if seen.is_cuda:
                torch.cuda.empty_cache()

    def _look_at(self, seen: Images, views: Drawn, owners: range, *, backward: bool) -> Tensor:
        count = self.cutouts.count
        whose = [owner for owner in owners for _ in range(count)]
        sums = torch.zeros(len(owners), device=seen.device)
        for start in range(0, len(whose), self.budget.views):
            chunk = slice(start, min(start + self.budget.views, len(whose)))
            with torch.no_grad():
                taken = self._take(seen, views, chunk)
            taken.requires_grad_(backward)
            with torch.set_grad_enabled(backward):
                per_eye = [
                    self.objective.view_losses(eye, eye.perceptor.encode_image(taken), whose[chunk])
                    for eye in self.objective.eyes
                ]
                loss = torch.stack(per_eye).sum(0) / count
                if backward:
                    # a power of two changes no digit but keeps fp16's small gradients from zero
                    (loss.sum() * _SCALE).backward()
            if taken.grad is not None:
                self._pull_back(seen, views, chunk, taken.grad / _SCALE)
            own = torch.tensor([owner - owners.start for owner in whose[chunk]])
            sums.index_add_(0, own.to(seen.device), loss.detach())
        return sums

    def _take(self, seen: Images, views: Drawn, chunk: slice) -> Tensor:
        size = self.view_size
        parts = [self.cutouts.take(seen, views, size=size, chunk=p) for p in _parts(chunk)]
        return torch.cat(parts)

    def _pull_back(self, seen: Images, views: Drawn, chunk: slice, grad: Tensor) -> None:
        """Add the gradient at the views to the gradient at the images.

        The views are warped anew rather than kept with their graph, so that memory stays that of
        one part; a warp costs little beside CLIP. Parts are the same for every micro-batch size,
        and so is the order in which the image sums their gradients.
        """
        for part in _parts(chunk):
            with torch.enable_grad():
                taken = self.cutouts.take(seen, views, size=self.view_size, chunk=part)
            taken.backward(grad[part.start - chunk.start : part.stop - chunk.start])

    def at(self, index: int) -> "Loop":
        """The loop at a step: itself, but for stories, whose targets change."""
        share = index / max(self.settings.steps, 1)
        objective = self.objective.at(share)
        return self if objective is self.objective else replace(self, objective=objective)

    def groups(self) -> Iterator[range]:
        """Candidates' numbers, `settings.group` at a time."""
        n = len(self.candidates)
        for start in range(0, n, self.budget.group):
            yield range(start, min(start + self.budget.group, n))

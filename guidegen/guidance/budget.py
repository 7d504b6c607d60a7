"""How much goes through the networks at once: what fits into memory, and changes no bit."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from guidegen.errors import OptimizationError
from guidegen.interfaces import Latents
from guidegen.ops import floating, rows

if TYPE_CHECKING:
    from guidegen.guidance.evaluate import LossEvaluator

log = logging.getLogger(__name__)

# Bytes that the generator may keep for the backward pass of a group.
_MOST_KEPT = 1 << 30
# Views after which more together gain nothing: measured with the embedded CLIP, 5.5 ms an image in
# eights, 3.8 in sixteens and in thirty-twos on two cores.
_ENOUGH = 16


@dataclass
class Budget:
    """How much goes through the networks at once; halved whenever memory runs out.

    Attributes:
        views: cutouts through CLIP.
        group: candidates through the generator. One on a CPU, unless `share_micro_batches`
            found that more give the same bits: kernels there pick their order of summation by the
            batch's size, and a candidate's result must not depend on its neighbours.
    """

    views: int = 32
    group: int = 1

    def halve_views(self) -> None:
        """Go on with half as many cutouts at a time.

        Raises:
            OptimizationError: there is no half of one.
        """
        if self.views == 1:
            raise OptimizationError(
                "out of memory even with one cutout at a time; try a smaller size or perceptor"
            )
        self.views //= 2
        log.warning("out of memory: going on with %d cutouts at a time", self.views)

    def halve_group(self) -> None:
        """Go on with half as many pictures at a time.

        Raises:
            OptimizationError: there is no half of one.
        """
        if self.group == 1:
            raise OptimizationError("out of memory even with one picture; try a smaller size")
        self.group //= 2
        log.warning("out of memory: going on with %d pictures at a time", self.group)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch says that memory ran out; on a CPU it says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def share_micro_batches(evaluator: "LossEvaluator", latents: Latents) -> None:
    """Take several candidates through generator and CLIP together, if their bits stay the same.

    A few views at a time leave a CPU idle between kernels, and one candidate often has few. But a
    kernel may sum in another order when there are more rows, and a picture must not depend on
    its neighbours. So losses and gradients of the start are computed both ways, and compared.

    Args:
        evaluator: its budget's group is widened; nothing else changes, no random number is used.
        latents: where the run starts, a row a candidate.
    """
    budget, count = evaluator.budget, evaluator.cutouts.count
    most = min(len(evaluator.candidates), min(budget.views, _ENOUGH) // count)
    if most < 2 or budget.group > 1:
        return
    kept = _kept_bytes(evaluator, latents)
    most = min(most, _MOST_KEPT // max(kept, 1))
    if most < 2:
        return
    states = [candidate.rng.get_state() for candidate in evaluator.candidates]
    cutouts = evaluator.sample_cutouts()
    for candidate, state in zip(evaluator.candidates, states, strict=True):
        candidate.rng.set_state(state)
    # also of terms that do not count from the start on
    moments = evaluator.objective.moments()
    apart = [part for at in moments for part in _gradients(evaluator, latents, cutouts, at)]
    budget.group = most
    together = [part for at in moments for part in _gradients(evaluator, latents, cutouts, at)]
    same = all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))
    if not same:
        budget.group = 1
    log.info("candidates go through CLIP %s", f"{budget.group} at a time" if same else "one by one")


def _gradients(
    evaluator: "LossEvaluator", latents: Latents, cutouts: Any, progress: float
) -> list[Tensor]:
    own = {
        name: value.detach().clone().requires_grad_(value.is_floating_point())
        for name, value in latents.items()
    }
    images, losses = evaluator.evaluate_all(own, cutouts, progress, backward=True)
    grads = [leaf.grad for leaf in floating(own).values() if leaf.grad is not None]
    return [images, losses["total"], *grads]


def _kept_bytes(evaluator: "LossEvaluator", latents: Latents) -> int:
    """What the generator keeps for the backward pass of one candidate."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    one = {
        name: value.detach().clone().requires_grad_(value.is_floating_point())
        for name, value in rows(latents, slice(0, 1)).items()
    }
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        images = evaluator.generator.decode(one)
    del images
    return sum(kept.values())

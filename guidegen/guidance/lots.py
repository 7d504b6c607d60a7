"""Candidates that share micro-batches on a CPU, where that changes no bit of theirs."""

import logging
from typing import Any

import torch
from torch import Tensor

from guidegen.guidance.evaluate import LossEvaluator
from guidegen.interfaces import Latents
from guidegen.ops import floating, rows

log = logging.getLogger(__name__)

# Bytes that the generator may keep for the backward pass of a group.
_MOST_KEPT = 1 << 30
# Views after which more together gain nothing: measured with the embedded CLIP, 5.5 ms an image in
# eights, 3.8 in sixteens and in thirty-twos on two cores.
_ENOUGH = 16


def share_micro_batches(evaluator: LossEvaluator, latents: Latents) -> None:
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
    evaluator: LossEvaluator, latents: Latents, cutouts: Any, progress: float
) -> list[Tensor]:
    own = {
        name: value.detach().clone().requires_grad_(value.is_floating_point())
        for name, value in latents.items()
    }
    images, losses = evaluator.evaluate_all(own, cutouts, progress, backward=True)
    grads = [leaf.grad for leaf in floating(own).values() if leaf.grad is not None]
    return [images, losses["total"], *grads]


def _kept_bytes(evaluator: LossEvaluator, latents: Latents) -> int:
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

"""Wrappers of the iterator of Steps: averaged latents, the best state so far."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from guidegen.interfaces import Images, Latents, Step
from guidegen.ops import floating


def averaged(
    steps: Iterator[Step], decay: float, decode: Callable[[Latents], Images]
) -> Iterator[Step]:
    """Show the bias-corrected moving average of the latents in place of the latents.

    A candidate's average starts anew when one of its choices (an integer latent) changes: the mean
    of two different patches' places is the place of neither.

    Args:
        steps: the loop.
        decay: 0 to 1; the average spans about 1 / (1 − decay) steps.
        decode: `Generator.decode`.
    """
    sums: Latents = {}
    weight = torch.zeros(0)
    choices: Latents = {}
    for step in steps:
        fresh = _changed(step.latents, choices)
        choices = {k: v for k, v in step.latents.items() if not v.is_floating_point()}
        if not sums:
            sums = {k: torch.zeros_like(v) for k, v in floating(step.latents).items()}
            weight = torch.zeros(len(step.images), device=step.images.device)
        weight = torch.where(fresh, torch.zeros_like(weight), weight) * decay + (1 - decay)
        latents = dict(step.latents)
        for name, value in floating(step.latents).items():
            shape = (-1,) + (1,) * (value.dim() - 1)
            kept = torch.where(fresh.view(shape), torch.zeros_like(value), sums[name])
            sums[name] = kept * decay + value * (1 - decay)
            latents[name] = sums[name] / weight.view(shape).to(value.dtype)
        with torch.no_grad():
            images = decode(latents)
        yield replace(step, latents=latents, images=images)


def _changed(latents: Latents, before: Latents) -> Tensor:
    """[B] whether any choice of a candidate differs from the step before."""
    some = next(iter(latents.values()))
    changed = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    for name, old in before.items():
        changed |= (latents[name] != old).reshape(len(old), -1).any(1)
    return changed


def best_so_far(steps: Iterator[Step]) -> Iterator[Step]:
    """Pass the steps on, but end with each candidate's state of lowest total loss.

    The loss of one step is seen through that step's own views, so the choice favours lucky views a
    little; big-sleep's `save_best` does the same.
    """
    best: Step | None = None
    for step in steps:
        best = step if best is None else _better(best, step)
        if step.index == step.total:
            yield replace(best, index=step.index, lr=step.lr)
        else:
            yield step


def _better(best: Step, step: Step) -> Step:
    won = step.losses["total"] < best.losses["total"]

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(won.view((-1,) + (1,) * (new.dim() - 1)), new, old)

    return replace(
        best,
        latents={name: pick(value, best.latents[name]) for name, value in step.latents.items()},
        images=pick(step.images, best.images),
        losses={name: pick(value, best.losses[name]) for name, value in step.losses.items()},
    )

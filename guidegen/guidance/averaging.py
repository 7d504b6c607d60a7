"""Wrappers of the iterator of Steps: averaged latents, the best state so far.

Each adds its own part to the step's snapshot, and takes it up again when a run goes on.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from guidegen.interfaces import AverageState, BestState, Images, Latents, LoopState, Step
from guidegen.ops import column, floating


def averaged(
    steps: Iterator[Step],
    decay: float,
    decode: Callable[[Latents], Images],
    *,
    resume: LoopState | None = None,
) -> Iterator[Step]:
    """Show the bias-corrected moving average of the latents in place of the latents.

    A candidate's average starts anew when one of its choices (an integer latent) changes: the mean
    of two different patches' places is the place of neither.

    Args:
        steps: the loop.
        decay: 0 to 1; the average spans about 1 / (1 − decay) steps.
        decode: `Generator.decode`.
        resume: the state that the loop goes on from; its step is in the average already.
    """
    average = None if resume is None else resume.average
    choices: Latents = {}
    for step in steps:
        if average is None:
            average = _empty_average(step)
        if resume is None or step.index > resume.index:
            average = _update(average, step.latents, _changed(step.latents, choices), decay)
        choices = _choices(step.latents)
        latents = dict(step.latents)
        for name, total in average.sums.items():
            latents[name] = total / column(average.weight, total).to(total.dtype)
        with torch.no_grad():
            images = decode(latents)
        yield replace(step, latents=latents, images=images, snapshot=_with(step, average=average))


def _empty_average(step: Step) -> AverageState:
    sums = {name: torch.zeros_like(value) for name, value in floating(step.latents).items()}
    return AverageState(sums, torch.zeros(len(step.images), device=step.images.device))


def _update(average: AverageState, latents: Latents, anew: Tensor, decay: float) -> AverageState:
    """The average with one more step; that of the candidates `anew` [B] begins with it."""
    weight = torch.where(anew, torch.zeros_like(average.weight), average.weight)
    sums = {}
    for name, value in floating(latents).items():
        before = torch.where(column(anew, value), torch.zeros_like(value), average.sums[name])
        sums[name] = before * decay + value * (1 - decay)
    return AverageState(sums, weight * decay + (1 - decay))


def _choices(latents: Latents) -> Latents:
    return {name: value for name, value in latents.items() if not value.is_floating_point()}


def _changed(latents: Latents, choices: Latents) -> Tensor:
    """[B] whether any choice of a candidate differs from the step before."""
    some = next(iter(latents.values()))
    changed = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    for name, old in choices.items():
        changed |= (latents[name] != old).reshape(len(old), -1).any(1)
    return changed


def best_so_far(
    steps: Iterator[Step],
    *,
    comparable: Callable[[int], bool] = lambda index: True,
    resume: LoopState | None = None,
) -> Iterator[Step]:
    """Tell with every step the latents of each candidate's lowest total loss so far.

    The loss of one step is seen through that step's own views, so the choice favours lucky views a
    little; big-sleep's `save_best` does the same.

    Args:
        steps: the loop.
        comparable: whether the losses of a step mean the same as those of the step before. Where
            not (a term's weight changes, a scene fades into the next), the newest is the best.
        resume: the state that the loop goes on from; its step has been compared already.
    """
    best = None if resume is None else resume.best
    for step in steps:
        loss = step.losses["total"]
        going_on = resume is not None and step.index == resume.index
        if best is None or not (going_on or comparable(step.index)):
            best = BestState(dict(step.latents), loss)
        else:
            best = _lower(best, BestState(step.latents, loss))
        yield replace(step, best=best.latents, snapshot=_with(step, best=best))


def _lower(best: BestState, new: BestState) -> BestState:
    """Each candidate's of the two with the lower loss."""
    lower = new.loss < best.loss
    latents = {
        name: torch.where(column(lower, value), value, best.latents[name])
        for name, value in new.latents.items()
    }
    return BestState(latents, torch.where(lower, new.loss, best.loss))


def _with(
    step: Step, *, average: AverageState | None = None, best: BestState | None = None
) -> Callable[[], LoopState] | None:
    """The step's snapshot with one more part."""
    inner = step.snapshot
    if inner is None:
        return None

    def snapshot() -> LoopState:
        state = inner()
        return replace(state, average=average or state.average, best=best or state.best)

    return snapshot

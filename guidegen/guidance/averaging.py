"""Wrappers of the iterator of Steps: averaged latents, the best state so far.

Each adds what it keeps to the step's snapshot, so that a run goes on with it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from guidegen.interfaces import Images, Latents, LoopState, Step
from guidegen.ops import floating


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
    sums, weight, choices = _kept_average(resume)
    for step in steps:
        values = floating(step.latents)
        if not sums:
            sums = {name: torch.zeros_like(value) for name, value in values.items()}
            weight = torch.zeros(len(step.images), device=step.images.device)
        if resume is None or step.index > resume.index:
            fresh = _changed(step.latents, choices)
            kept = torch.where(fresh, torch.zeros_like(weight), weight)
            weight = kept * decay + (1 - decay)
            for name, value in values.items():
                before = torch.where(_column(fresh, value), torch.zeros_like(value), sums[name])
                sums[name] = before * decay + value * (1 - decay)
        choices = {k: v for k, v in step.latents.items() if not v.is_floating_point()}
        latents = dict(step.latents)
        latents |= {n: sums[n] / _column(weight, v).to(v.dtype) for n, v in values.items()}
        with torch.no_grad():
            images = decode(latents)
        rows = {"ema-weight": weight, **{f"ema/{n}": v for n, v in sums.items()}}
        yield replace(step, latents=latents, images=images, snapshot=_with(step, rows))


def _kept_average(state: LoopState | None) -> tuple[Latents, Tensor, Latents]:
    if state is None:
        return {}, torch.zeros(0), {}
    latents = _named(state.rows, "latents/")
    choices = {name: v for name, v in latents.items() if not v.is_floating_point()}
    device = next(iter(latents.values())).device
    return _named(state.rows, "ema/"), state.rows["ema-weight"].to(device), choices


def _changed(latents: Latents, before: Latents) -> Tensor:
    """[B] whether any choice of a candidate differs from the step before."""
    some = next(iter(latents.values()))
    changed = torch.zeros(len(some), dtype=torch.bool, device=some.device)
    for name, old in before.items():
        changed |= (latents[name] != old).reshape(len(old), -1).any(1)
    return changed


def best_so_far(steps: Iterator[Step], *, resume: LoopState | None = None) -> Iterator[Step]:
    """Tell with every step the latents of each candidate's lowest total loss so far.

    The loss of one step is seen through that step's own views, so the choice favours lucky views a
    little; big-sleep's `save_best` does the same.

    Args:
        steps: the loop.
        resume: the state that the loop goes on from.
    """
    best: Latents = {} if resume is None else _named(resume.rows, "best/")
    lowest = None if resume is None else resume.rows["best-loss"]
    for step in steps:
        loss = step.losses["total"]
        won = torch.ones_like(loss, dtype=torch.bool) if lowest is None else loss < lowest
        lowest = loss if lowest is None else torch.where(won, loss, lowest)
        best = {
            name: torch.where(_column(won, value), value, best[name]) if best else value
            for name, value in step.latents.items()
        }
        rows = {"best-loss": lowest, **{f"best/{name}": value for name, value in best.items()}}
        yield replace(step, best=best, snapshot=_with(step, rows))


def _named(rows: Mapping[str, Tensor], prefix: str) -> Latents:
    return {n.removeprefix(prefix): v for n, v in rows.items() if n.startswith(prefix)}


def _column(values: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, ...] with as many dimensions as `like`."""
    return values.view((-1,) + (1,) * (like.dim() - 1))


def _with(step: Step, rows: Mapping[str, Tensor]) -> Callable[[], LoopState] | None:
    """The step's snapshot with more rows."""
    if step.snapshot is None:
        return None
    return partial(_joined, step.snapshot, dict(rows))


def _joined(snapshot: Callable[[], LoopState], rows: Mapping[str, Tensor]) -> LoopState:
    state = snapshot()
    return replace(state, rows={**state.rows, **rows})

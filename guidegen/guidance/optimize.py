"""Minimise: the loop as an iterator of Steps."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from guidegen.cutouts import Drawn
from guidegen.errors import OptimizationError
from guidegen.guidance.camera import move_
from guidegen.guidance.evaluate import Loop, LoopSettings, is_out_of_memory
from guidegen.guidance.objective import total
from guidegen.guidance.state import capture, restore
from guidegen.interfaces import Images, Latents, LoopState, Preference, Proposes, Step
from guidegen.ops import floating, rows

__all__ = ["OPTIMIZERS", "Loop", "LoopSettings", "optimize"]

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "nadam": torch.optim.NAdam,
    "sgd": torch.optim.SGD,
}


def optimize(
    loop: Loop,
    latents: Latents,
    *,
    preference: Sequence[Preference] | None = None,
    resume: LoopState | None = None,
) -> Iterator[Step]:
    """Minimise the objective; yields `steps + 1` consistent states, the start first.

    Args:
        loop: generator, objective, cutouts, candidates and settings.
        latents: where to start, one row a candidate; not changed.
        preference: what each candidate's proposals choose from (see `Proposes`).
        resume: go on from this state instead, whose step is the first that is yielded.

    Raises:
        OptimizationError: a loss is not finite; names the step and the candidate.
    """
    settings = loop.settings
    latents = {
        name: value.detach().clone().requires_grad_(value.is_floating_point())
        for name, value in latents.items()
    }
    leaves = floating(latents)
    if loop.objective.init:
        loop = replace(loop, anchor=_anchor(leaves, resume))
    optimizer = OPTIMIZERS[settings.optimizer](leaves.values(), lr=settings.lr)  # type: ignore[call-arg]
    rngs = [candidate.rng for candidate in loop.candidates]
    if resume is not None:
        restore(resume, latents, optimizer, rngs)
    for index in range(0 if resume is None else resume.index, settings.steps + 1):
        last = index == settings.steps
        before = torch.stack([rng.get_state() for rng in rngs])
        lr = _set_lr(optimizer, settings, index)
        optimizer.zero_grad()
        views = loop.draw()
        now = loop.at(index)
        shown, losses = _all_groups(now, latents, views, backward=not last)
        if last or index % settings.check_every == 0:
            _check_finite(losses, index)
        state = {name: value.detach().clone() for name, value in latents.items()}
        snapshot = partial(_capture, index, latents, optimizer, before, loop.anchor)
        yield Step(index, settings.steps, state, shown, losses, lr, snapshot=snapshot)
        if last:
            return
        optimizer.step()
        with torch.no_grad():
            loop.generator.constrain_(latents)
            # the last third only polishes: a new choice would have no time to settle
            if (
                preference is not None
                and isinstance(loop.generator, Proposes)
                and index % settings.propose_every == 0
                and settings.part(index) < 2 / 3
            ):
                _try_proposal(now, latents, views, preference, optimizer)
        if settings.motion is not None and (index + 1) % settings.motion.every == 0:
            move_(loop.generator, latents, settings.motion, list(loop.groups()), optimizer)
            if loop.anchor:  # the start lies elsewhere now
                loop = replace(loop, anchor=_anchor(leaves, None))


def _anchor(leaves: Latents, resume: LoopState | None) -> Latents:
    """Where the latents are, or the anchor of the run that goes on."""
    if resume is None:
        return {name: value.detach().clone() for name, value in leaves.items()}
    return {n: resume.rows[f"anchor/{n}"].to(value.device) for n, value in leaves.items()}


def _capture(
    index: int, latents: Latents, optimizer: torch.optim.Optimizer, rngs: Tensor, anchor: Latents
) -> LoopState:
    state = capture(index, latents, optimizer, rngs)
    start = {f"anchor/{name}": value for name, value in anchor.items()}
    return replace(state, rows={**state.rows, **start})


def _all_groups(
    loop: Loop, latents: Latents, views: Drawn, *, backward: bool
) -> tuple[Images, dict[str, Tensor]]:
    """Images and losses of all candidates; where memory runs out, again in smaller groups."""
    while True:
        try:
            return _in_groups(loop, latents, views, backward=backward)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            loop.budget.halve_group()
        for leaf in floating(latents).values():
            leaf.grad = None
            if leaf.is_cuda:
                torch.cuda.empty_cache()


def _in_groups(
    loop: Loop, latents: Latents, views: Drawn, *, backward: bool
) -> tuple[Images, dict[str, Tensor]]:
    images, losses = [], []
    for owners in list(loop.groups()):
        span = slice(owners.start, owners.stop)
        own, seen_by = rows(latents, span), views.rows(span)
        shown, loss = loop.evaluate(own, seen_by, owners, backward=backward)
        images.append(shown)
        losses.append(loss)
    joined = {name: torch.cat([loss[name] for loss in losses]) for name in losses[0]}
    return torch.cat(images), {"total": total(joined), **joined}


def _try_proposal(
    loop: Loop,
    latents: Latents,
    views: Drawn,
    preference: Sequence[Preference],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Propose other choices and keep those whose loss is lower under the same views."""
    assert isinstance(loop.generator, Proposes)
    state = {name: value.detach() for name, value in latents.items()}
    rngs = [candidate.rng for candidate in loop.candidates]
    other = loop.generator.propose(state, rngs=rngs, preference=preference)
    now = _all_groups(loop, state, views, backward=False)[1]["total"]
    then = _all_groups(loop, other, views, backward=False)[1]["total"]
    better = (then < now).cpu()
    for b in better.nonzero().flatten().tolist():
        for name, value in latents.items():
            value.data[b] = other[name][b]
            # moments of the state that was left would push the new one about
            for moment in optimizer.state.get(value, {}).values():
                if isinstance(moment, Tensor) and moment.shape == value.shape:
                    moment[b] = 0


def _set_lr(optimizer: torch.optim.Optimizer, settings: LoopSettings, index: int) -> float:
    """Half cosine from lr to lr·lr_end (Loshchilov & Hutter 2017, without restarts)."""
    # a scene that fades in needs the full rate to change the picture
    last = index * settings.scenes >= settings.steps * (settings.scenes - 1)
    share = settings.part(index) if last else 0.0
    factor = settings.lr_end + (1 - settings.lr_end) * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * factor
    return settings.lr * factor


def _check_finite(losses: dict[str, Tensor], index: int) -> None:
    bad = (~losses["total"].isfinite()).nonzero().flatten().tolist()
    if bad:
        raise OptimizationError(
            f"the loss of candidate {bad[0]} is not finite at step {index}; "
            "try a smaller --lr or --precision fp32"
        )

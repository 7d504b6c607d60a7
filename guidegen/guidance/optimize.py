"""Minimise: the loop as an iterator of Steps."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from guidegen.cutouts import CutoutParameters
from guidegen.errors import OptimizationError
from guidegen.guidance.camera import move_
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.objective import Objective
from guidegen.guidance.schedule import LoopSettings
from guidegen.guidance.starts.mixture import noised
from guidegen.guidance.state import copy_optimizer, forget_moments, restore
from guidegen.interfaces import Latents, LoopState, Preference, Proposes, Step
from guidegen.ops import floating

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "nadam": torch.optim.NAdam,
    "sgd": torch.optim.SGD,
}


def optimize(
    evaluator: LossEvaluator,
    latents: Latents,
    settings: LoopSettings,
    *,
    preference: Sequence[Preference] | None = None,
    resume: LoopState | None = None,
) -> Iterator[Step]:
    """Minimise the objective; yields `steps + 1` consistent states, the start first.

    Args:
        evaluator: generator, objective, perceptors, cutouts and candidates.
        latents: where to start, one row a candidate; not changed.
        settings: steps, learning rate and the like.
        preference: what each candidate's proposals choose from (see `Proposes`).
        resume: go on from this state instead, whose step is the first that is yielded.

    Raises:
        OptimizationError: a loss is not finite; names the step and the candidate.
    """
    latents = {
        name: value.detach().clone().requires_grad_(value.is_floating_point())
        for name, value in latents.items()
    }
    optimizer = OPTIMIZERS[settings.optimizer](floating(latents).values(), lr=settings.lr)  # type: ignore[call-arg]
    rngs = [candidate.rng for candidate in evaluator.candidates]
    if resume is None:
        evaluator = evaluator.with_objective(evaluator.objective.begin(latents))
    else:
        restore(resume, latents, optimizer, rngs)
        evaluator = evaluator.with_objective(evaluator.objective.resume(resume.losses))
    for index in range(0 if resume is None else resume.index, settings.steps + 1):
        last = index == settings.steps
        rng_bytes = torch.stack([rng.get_state() for rng in rngs])
        lr, progress = settings.lr_at(index), settings.progress(index)
        optimizer.zero_grad()
        cutouts = evaluator.sample_cutouts(progress=progress)
        seen = latents
        if settings.latent_noise and not last:
            seen = noised(latents, rngs, settings.latent_noise)
        images, losses = evaluator.evaluate_all(seen, cutouts, progress, backward=not last)
        if last or index % settings.check_every == 0:
            _check_finite(losses, index)
        copies = {name: value.detach().clone() for name, value in latents.items()}
        snapshot = partial(_capture, index, latents, optimizer, rng_bytes, evaluator.objective)
        yield Step(index, settings.steps, copies, images, losses, lr, snapshot=snapshot)
        if last:
            return
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        with torch.no_grad():
            evaluator.generator.constrain_(latents)
        if preference is not None and settings.proposes_at(index):
            accepted = try_proposal_(evaluator, latents, cutouts, progress, preference)
            forget_moments(latents, optimizer, accepted)
        if settings.motion is not None and settings.moves_after(index):
            move_(evaluator.generator, latents, settings.motion, list(evaluator.groups()))
            forget_moments(latents, optimizer, range(len(rngs)))
            # the start lies elsewhere now
            evaluator = evaluator.with_objective(evaluator.objective.begin(latents))


@torch.no_grad()
def try_proposal_(
    evaluator: LossEvaluator,
    latents: Latents,
    cutouts: CutoutParameters,
    progress: float,
    preference: Sequence[Preference],
) -> list[int]:
    """Propose other choices and take those whose loss is lower under the same views.

    Args:
        evaluator: of all candidates; its generator need not propose anything.
        latents: changed in place where a proposal is taken.
        cutouts: through which both are seen.
        progress: share of the run that is over.
        preference: what each candidate's proposal chooses from.

    Returns:
        The candidates whose proposal was taken.
    """
    if not isinstance(evaluator.generator, Proposes):
        return []
    current = {name: value.detach() for name, value in latents.items()}
    rngs = [candidate.rng for candidate in evaluator.candidates]
    other = evaluator.generator.propose(current, rngs=rngs, preference=preference)
    _, losses = evaluator.evaluate_all(current, cutouts, progress, backward=False)
    _, other_losses = evaluator.evaluate_all(other, cutouts, progress, backward=False)
    better = other_losses["total"] < losses["total"]
    accepted: list[int] = better.nonzero().flatten().tolist()
    for b in accepted:
        for name, value in latents.items():
            value.data[b] = other[name][b]
    return accepted


def _capture(
    index: int,
    latents: Latents,
    optimizer: torch.optim.Optimizer,
    rng_bytes: Tensor,
    objective: Objective,
) -> LoopState:
    return LoopState(
        index=index,
        latents={name: value.detach().clone() for name, value in latents.items()},
        rngs=rng_bytes,
        optimizer=copy_optimizer(latents, optimizer),
        losses=objective.states(),
    )


def _check_finite(losses: dict[str, Tensor], index: int) -> None:
    bad = (~losses["total"].isfinite()).nonzero().flatten().tolist()
    if bad:
        names = [n for n, v in losses.items() if n != "total" and not v[bad[0]].isfinite()]
        which = f" ({', '.join(names)})" if names else ""
        raise OptimizationError(
            f"the loss of candidate {bad[0]} is not finite at step {index}{which}; "
            "try a smaller learning rate or the precision fp32"
        )

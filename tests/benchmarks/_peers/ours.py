"""Our own step: the real loop, as `guidegen generate` builds it."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks._peers.case import Contest

Step = Callable[[], object]
Look = Callable[[Tensor], Tensor]


def make_evaluator(contest: Contest) -> Any:
    """The evaluator of `guidegen.guidance.optimize`, and the loop's settings."""
    os.environ["GUIDEGEN_WEIGHTS"] = str(contest.folder / "weights")
    import generators
    from guidegen.clip.perceptor import Ensemble, load_perceptor
    from guidegen.cutouts import CutoutSettings
    from guidegen.guidance.evaluate import LossEvaluator
    from guidegen.guidance.losses.distances import DISTANCES
    from guidegen.guidance.objective import make_objective
    from guidegen.guidance.schedule import LoopSettings
    from guidegen.interfaces import Candidate, LossContext, Target
    from guidegen.prompt.grammar import Prompt
    from guidegen.prompt.loss_terms import all_loss_terms

    case, device = contest.case, contest.device
    precision = "auto" if contest.precision == "default" else contest.precision
    backend, _, variant = case.generator.partition("/")
    card = getattr(generators, backend.upper())
    size = (case.size, case.size)
    generator = card.load(variant, size=size, device=device, precision=precision)
    folder = f"local-dir:{contest.folder / 'clip'}"
    clip = load_perceptor(folder, device=device, precision=precision)
    defaults = card.info(variant).defaults
    candidate = Candidate((Prompt("a red apple"),), torch.Generator().manual_seed(0))
    features = clip.encode_text(["a red apple"])
    one = torch.ones(1, device=features.device)
    context = LossContext(
        generator=generator,
        perceptors=((clip, 1.0),),
        candidates=[candidate],
        targets={clip.name: [Target(features, one, -torch.inf * one)]},
        distance=DISTANCES["spherical"],
    )
    evaluator = LossEvaluator(
        generator=generator,
        objective=make_objective(all_loss_terms((), prior=1.0, init=0.0), context),
        perceptors=Ensemble(((clip, 1.0),)),
        cutouts=CutoutSettings(count=case.cutouts, noise=defaults.noise),
        candidates=[candidate],
    )
    return evaluator, LoopSettings(steps=1_000_000, lr=defaults.lr)


def build(contest: Contest) -> tuple[Step, Look]:
    """One step as a function, and the features of images."""
    from guidegen.guidance.averaging import best_so_far
    from guidegen.guidance.optimize import optimize

    evaluator, settings = make_evaluator(contest)
    start = evaluator.generator.init(1, rngs=[evaluator.candidates[0].rng])
    steps = best_so_far(optimize(evaluator, start, settings))
    ((clip, _),) = evaluator.perceptors

    def step() -> object:
        return next(steps)

    # what was chosen, for the benchmark to tell
    step.arithmetic = {  # type: ignore[attr-defined]
        "CLIP": str(clip.arithmetic), "generator": str(evaluator.generator.arithmetic)
    }  # fmt: skip
    return step, clip.encode_image

"""Our own step: the real loop, as `guidegen generate` builds it."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks._peers.case import Contest

Step = Callable[[], object]
Look = Callable[[Tensor], Tensor]


def make_loop(contest: Contest) -> Any:
    """The loop of `guidegen.guidance.optimize`."""
    os.environ["GUIDEGEN_WEIGHTS"] = str(contest.folder / "weights")
    import generators
    from guidegen.clip.perceptor import load_perceptor
    from guidegen.cutouts import CutoutSettings
    from guidegen.guidance.evaluate import Loop, LoopSettings
    from guidegen.guidance.objective import Eye, Objective, Target
    from guidegen.interfaces import Candidate
    from guidegen.prompt.grammar import Prompt

    case, device = contest.case, contest.device
    precision = "auto" if contest.precision == "default" else contest.precision
    backend, _, variant = case.generator.partition("/")
    card = getattr(generators, backend.upper())
    size = (case.size, case.size)
    generator = card.load(variant, size=size, device=device, precision=precision)
    folder = f"local-dir:{contest.folder / 'clip'}"
    clip = load_perceptor(folder, device=device, precision=precision)
    defaults = card.info(variant).defaults
    candidate = Candidate((Prompt("a red apple"),), 0, torch.Generator().manual_seed(0))
    features = clip.encode_text(["a red apple"])
    one = torch.ones(1, device=features.device)
    target = Target(features, one, -torch.inf * one)
    return Loop(
        generator=generator,
        objective=Objective([Eye(clip, 1.0, [target])]),
        cutouts=CutoutSettings(count=case.cutouts, noise=defaults.noise),
        candidates=[candidate],
        settings=LoopSettings(steps=1_000_000, lr=defaults.lr),
    )


def build(contest: Contest) -> tuple[Step, Look]:
    """One step as a function, and the features of images."""
    from guidegen.guidance.averaging import best_so_far
    from guidegen.guidance.optimize import optimize

    loop = make_loop(contest)
    start = loop.generator.init(1, rngs=[loop.candidates[0].rng])
    steps = best_so_far(optimize(loop, start))
    return lambda: next(steps), loop.objective.eyes[0].perceptor.encode_image

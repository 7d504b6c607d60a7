"""A small loop: pixels guided by a CLIP that only sees the mean colour."""

from dataclasses import dataclass, replace

import torch

from generators import PIXELS
from guidegen.clip.perceptor import Ensemble
from guidegen.cutouts import CutoutSettings
from guidegen.engine.build import make_candidate, make_guidance, make_steps
from guidegen.engine.models import open_session
from guidegen.guidance.budget import Budget
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.losses.distances import DISTANCES
from guidegen.guidance.objective import make_objective
from guidegen.guidance.optimize import optimize
from guidegen.guidance.schedule import LoopSettings
from guidegen.guidance.starts.search import best_of
from guidegen.interfaces import Candidate, LossContext, Target
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.loss_terms import all_loss_terms
from tests.helpers.fakes import TinyPerceptor


@dataclass(frozen=True)
class Loop:
    """What `optimize` takes."""

    evaluator: LossEvaluator
    settings: LoopSettings
    context: LossContext

    def steps(self, start=None, **options):
        """The steps from the best of one start, or from another."""
        start = best_of(self.evaluator, 1) if start is None else start
        return optimize(self.evaluator, start, self.settings, **options)

    def run(self, start=None, **options):
        return list(self.steps(start, **options))

    def but(self, **parts):
        """With other parts of the evaluator."""
        return replace(self, evaluator=replace(self.evaluator, **parts))


def make_targets(perceptor, candidates):
    return [
        Target(
            perceptor.encode_text([prompt.text for prompt in candidate.prompts]),
            torch.tensor([prompt.weight for prompt in candidate.prompts]),
            torch.tensor([prompt.stop for prompt in candidate.prompts]),
        )
        for candidate in candidates
    ]


def make_loop(
    texts,
    seeds,
    *,
    batch=32,
    group=1,
    distance="spherical",
    losses=(),
    loss_options=(),
    init=0.0,
    generator=None,
    perceptors=None,
    cutouts=None,
    steps=4,
    lr=0.05,
    **settings,
):
    ensemble = Ensemble(perceptors or ((TinyPerceptor(), 1.0),))
    generator = generator or PIXELS.load("", size=(24, 24), device="cpu")
    candidates = [
        Candidate(parse_prompt(text), torch.Generator().manual_seed(seed))
        for text, seed in zip(texts, seeds, strict=True)
    ]
    context = LossContext(
        generator=generator,
        perceptors=ensemble.parts,
        candidates=candidates,
        targets={p.name: make_targets(p, candidates) for p, _ in ensemble},
        distance=DISTANCES[distance],
    )
    evaluator = LossEvaluator(
        generator=generator,
        objective=make_objective(
            all_loss_terms(losses, prior=1.0, init=init), context, loss_options
        ),
        perceptors=ensemble,
        cutouts=cutouts or CutoutSettings(count=8, noise=0.05),
        candidates=candidates,
        budget=Budget(views=batch, group=group),
    )
    return Loop(evaluator, LoopSettings(steps=steps, lr=lr, **settings), context)


def run(loop):
    return loop.run()


def steps_of(resolved):
    """Gives the steps of a run with this config, by its own models, from a state or the start."""
    session = open_session(resolved)

    def steps(resume=None):
        candidate = make_candidate(resolved.picture, negative_weight=resolved.negative_weight)
        return make_steps(session, make_guidance(session, resolved, [candidate]), resolved, resume)

    return steps

"""A small loop: pixels guided by a CLIP that only sees the mean colour."""

import torch

from generators import PIXELS
from guidegen.cutouts import CutoutSettings
from guidegen.guidance.objective import Eye, Objective, Target
from guidegen.guidance.optimize import Loop, LoopSettings, optimize
from guidegen.guidance.search import best_of
from guidegen.interfaces import Candidate
from guidegen.prompt.grammar import parse_prompt
from tests.helpers.fakes import TinyPerceptor


def make_loop(texts, seeds, *, batch=32, group=1, steps=25, lr=0.05, distance="spherical"):
    perceptor = TinyPerceptor()
    candidates = [
        Candidate(parse_prompt(text), seed, torch.Generator().manual_seed(seed))
        for text, seed in zip(texts, seeds, strict=True)
    ]
    targets = [
        Target(
            perceptor.encode_text([p.text for p in c.prompts]),
            torch.tensor([p.weight for p in c.prompts]),
            torch.tensor([p.stop for p in c.prompts]),
        )
        for c in candidates
    ]
    return Loop(
        generator=PIXELS.load("", size=(24, 24), device="cpu"),
        objective=Objective([Eye(perceptor, 1.0, targets)], distance=distance),
        cutouts=CutoutSettings(count=8, noise=0.05),
        candidates=candidates,
        settings=LoopSettings(steps=steps, lr=lr, cutout_batch=batch, group=group),
    )


def run(loop):
    return list(optimize(loop, best_of(loop, 1)))

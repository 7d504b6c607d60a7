"""Our loop against the package `big-sleep` itself: same weights, latents and crops, same losses.

Against its figures as `record_big_sleep.py` wrote them down, and live where it is on the path.
"""

import json
from dataclasses import dataclass, replace
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from generators import BIGGAN
from guidegen.clip.perceptor import Ensemble, load_perceptor
from guidegen.cutouts import BigSleepCutouts
from guidegen.cutouts.big_sleep import CropParameters, boxes
from guidegen.guidance.averaging import averaged
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.losses.clip import ClipDistance
from guidegen.guidance.losses.distances import DISTANCES
from guidegen.guidance.losses.prior import GeneratorPrior
from guidegen.guidance.objective import Objective, Term
from guidegen.guidance.optimize import optimize
from guidegen.guidance.schedule import LoopSettings
from guidegen.interfaces import Candidate, Target
from guidegen.presets import PRESETS
from guidegen.prompt.loss_terms import LossTerm
from tests.golden.record_big_sleep import (
    CASES,
    CUTOUTS,
    FIGURES,
    LATENTS,
    LR,
    STEPS,
    run_big_sleep,
    texts,
    weight_sums,
    write_models,
)

SIDE = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write_models(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEGEN_WEIGHTS", str(folder))
        yield folder


def recorded(name):
    prefix = f"{name}/"
    latents = load_file(LATENTS)
    own = {key.removeprefix(prefix): v for key, v in latents.items() if key.startswith(prefix)}
    return json.loads(FIGURES.read_text())[name], own


@dataclass(frozen=True, kw_only=True)
class TheSameCrops(BigSleepCutouts):
    """Our cutouts, where big-sleep's random numbers put them."""

    crops: list

    def sample(self, *, rngs, size, aspect=1.0):
        wanted = torch.tensor(self.crops.pop(0))
        top, left, side = wanted.unbind(1)
        free = (SIDE - side)[:, None]
        place = (torch.stack([left, top], 1) + 0.5) / (free + 1)
        drawn = CropParameters(((side + 0.5) / SIDE)[None], place[None])
        assert torch.equal(torch.stack(boxes(drawn, (SIDE, SIDE)), -1)[0], wanted[:, [1, 0, 2]])
        return drawn


def our_steps(case, crops, start, folder):
    """The steps of preset big-sleep at this case's settings, with the average that is shown."""
    preset = PRESETS["big-sleep"]
    info = BIGGAN.info("deep-128")
    options = list(preset["option"])
    if case.max_classes:
        options += ["classes=top-k", f"max-classes={case.max_classes}"]
    generator = BIGGAN.load(
        "deep-128", size=(SIDE, SIDE), device="cpu", precision="fp32",
        options=info.read_options(options),
    )  # fmt: skip
    perceptor = load_perceptor(f"local-dir:{folder / 'clip'}", device="cpu", precision="fp32")
    towards, away = texts(case)
    features = torch.nn.functional.normalize(torch.cat([towards, away]), dim=1)
    signs = [1.0] * case.towards + [-preset["negative_weight"]] * case.away
    stops = torch.full((len(signs),), float("-inf"))
    target = Target(features, torch.tensor(signs), stops)
    distance = DISTANCES[preset["distance"]]
    terms = [
        Term(LossTerm("clip", 1.0), ClipDistance({perceptor.name: [target]}, distance)),
        Term(LossTerm("prior", 1.0), GeneratorPrior(generator)),
    ]
    evaluator = LossEvaluator(
        generator=generator,
        objective=Objective(tuple(terms)),
        perceptors=Ensemble(((perceptor, 1.0),)),
        cutouts=TheSameCrops(count=CUTOUTS, crops=list(crops)),
        candidates=[Candidate((), torch.Generator())],
    )
    settings = LoopSettings(
        steps=STEPS, lr=LR, lr_end=preset["lr_end"], optimizer=preset["optimizer"]
    )
    steps = list(optimize(evaluator, start, settings))
    shown = list(averaged(iter(steps), case.ema_decay, generator.decode))
    return steps, shown


def compare(case, figures, latents, folder):
    start = {key: latents[f"start.{key}"][None] for key in ("z", "class_logits")}
    steps, shown = our_steps(case, figures["crops"], start, folder)
    totals = [float(step.losses["total"]) for step in steps]
    assert totals == pytest.approx(figures["losses"], rel=1e-4, abs=1e-4)
    for step, (of_z, of_classes, clip) in zip(steps, figures["parts"], strict=True):
        assert float(step.losses["clip"]) == pytest.approx(clip, rel=1e-4, abs=1e-4)
        assert float(step.losses["prior"]) == pytest.approx(of_z + of_classes, abs=1e-4)
    for key in start:
        end, average = latents[f"end.{key}"], latents[f"average.{key}"]
        # Adam's first steps are signs: where a gradient is nearly zero, the order of summation
        # (the number of threads) moves single latents by more than rounding
        for ours, theirs in (
            (steps[-1].latents[key][0], end),
            (shown[-1].latents[key][0], average),
        ):
            assert (ours - theirs).abs().mean() < 1e-4
            assert (ours - theirs).abs().max() < LR / 10
        assert (end - average).abs().max() > 0.01  # or the average would say nothing


def test_the_random_weights_are_those_of_the_figures(folder):
    """Where not, nothing is wrong with the loop: run record_big_sleep.py again."""
    wanted = json.loads(FIGURES.read_text())["weights"]
    assert weight_sums(folder) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_losses_latents_and_average_are_those_that_big_sleep_had(name, folder):
    compare(CASES[name], *recorded(name), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.skipif(find_spec("big_sleep") is None, reason="big-sleep is not installed")
def test_big_sleep_itself_at_other_latents_and_crops(name, folder):
    case = replace(CASES[name], seed=CASES[name].seed + 7)
    compare(case, *run_big_sleep(case, folder), folder)


@pytest.mark.slow
def test_a_crop_one_pixel_off_would_be_noticed(folder):
    figures, latents = recorded("defaults")
    start = {key: latents[f"start.{key}"][None] for key in ("z", "class_logits")}
    moved = [[[top, left, side - 1] for top, left, side in step] for step in figures["crops"]]
    steps, _ = our_steps(CASES["defaults"], moved, start, folder)
    assert abs(float(steps[0].losses["total"]) - figures["losses"][0]) > 1e-2

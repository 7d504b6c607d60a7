"""Starting from another generator's picture."""

import numpy as np
import pytest
import torch

from generators import PIXELS, PYRAMID
from guidegen.config import make_config
from guidegen.engine.begin.start import StartFrom
from guidegen.engine.build import make_candidate, make_guidance, make_steps
from guidegen.engine.generate import generate
from guidegen.engine.models import open_session
from guidegen.engine.resolve import resolve
from guidegen.guidance.objective import total
from guidegen.guidance.starts.search import best_of
from guidegen.ops import rows
from tests.helpers.loops import make_loop
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'))}"


def config(clip, **fields):
    return make_config(
        {"prompt": "a red apple", "perceptor": (clip,), "size": "64", "cutouts": 2, **fields}
    )


def pixels(picture):
    return np.asarray(picture.image).astype(int)


@pytest.mark.slow
def test_the_run_starts_at_the_other_generators_picture(clip):
    laid = config(clip, generator="collage", steps=0, starts=1)
    (drawing,) = generate([laid], write=False)
    for painter in ("pyramid", "pixels"):
        painted = config(clip, generator=painter, start_from="collage", steps=0, starts=1)
        (start,) = generate([painted], write=False)
        assert abs(pixels(start) - pixels(drawing)).max() <= 2


def small_generators():
    size = (32, 32)
    return PYRAMID.load("", size=size, device="cpu"), PIXELS.load("", size=size, device="cpu")


def test_the_best_of_several_starts_goes_on():
    painter, first = small_generators()
    evaluator = make_loop(["1,0,0"], [3], generator=StartFrom(painter, first)).evaluator
    chosen = best_of(evaluator, 4)
    rng = evaluator.candidates[0].rng.manual_seed(3)
    drawn = evaluator.generator.init(4, rngs=[rng] * 4)
    cutouts = evaluator.sample_cutouts(range(1))
    losses = []
    for i in range(4):
        row = rows(drawn, slice(i, i + 1))
        losses.append(total(evaluator.evaluate(row, cutouts, range(1), backward=False)[1]))
    best = int(torch.cat(losses).argmin())
    assert len({float(loss) for loss in losses}) == 4
    for name, value in chosen.items():
        assert torch.equal(value, drawn[name][best : best + 1])


def test_a_start_does_not_depend_on_its_neighbours():
    start = StartFrom(*small_generators())
    rngs = [torch.Generator().manual_seed(seed) for seed in (1, 2, 2)]
    together = start.init(2, rngs=rngs[:2])
    alone = start.init(1, rngs=rngs[2:])
    assert all(torch.equal(together[name][1:], alone[name]) for name in alone)


@pytest.mark.slow
def test_a_run_that_goes_on_ends_as_if_it_had_never_stopped(clip):
    resolved = resolve(config(clip, generator="pyramid", start_from="collage", steps=4, starts=2))
    session = open_session(resolved)

    def steps(resume=None):
        candidate = make_candidate(resolved.picture, negative_weight=resolved.negative_weight)
        guidance = make_guidance(session, resolved, [candidate])
        return make_steps(session, guidance, resolved, resume)

    states, last = {}, None
    for last in steps():
        states[last.index] = last.snapshot()
    for last_again in steps(states[2]):
        assert last_again.index >= 2
    assert torch.equal(last.images, last_again.images)


def test_the_embedded_vqgan_starts_from_a_collage_unless_told_otherwise(tmp_path):
    def start(**fields):
        return resolve(make_config({"prompt": "x", "generator": "vqgan/embedded", **fields}))

    assert start().start_from == "collage"
    assert start(start_from="none").start_from == "none"
    assert start(start_from="pixels").start_from == "pixels"
    assert start(option=("start=noise",)).start_from == "none"
    assert start(init_image=tmp_path / "x.png").start_from == "none"
    again = start()
    assert resolve(again) == again


def test_starts_are_as_many_as_suit_the_generator_that_lays_them():
    def starts(**fields):
        return resolve(make_config({"prompt": "x", **fields})).starts

    assert starts(generator="pyramid") == 1
    assert starts(generator="pyramid", start_from="collage") == starts(generator="collage") > 1
    assert starts(generator="pyramid", start_from="collage", starts=3) == 3
    assert starts(generator="vqgan/embedded") == 12


def test_the_weights_of_both_generators_are_in_the_record(clip):
    session = open_session(resolve(config(clip, generator="vqgan/embedded")))
    assert {"collage", "vqgan/embedded"} <= set(session.digests)

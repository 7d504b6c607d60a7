"""The starts of a run, seen before it, and the run that goes on from one of them."""

import numpy as np
import pytest
import torch

import guidegen
from generators import COLLAGE, PYRAMID, VQGAN
from guidegen.config import make_config
from guidegen.engine.begin.starts import draw_starts
from guidegen.engine.generate import generate
from guidegen.engine.resolve import check
from guidegen.errors import ConfigError
from guidegen.guidance.starts.search import best_of, draw, losses_of
from guidegen.ops import rows
from tests.helpers.loops import make_loop
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    clip = make_tiny_clip(tmp_path_factory.mktemp("clip"))
    return {"generator": "pixels", "perceptor": f"local-dir:{clip}", "size": 16, "cutouts": 2}


def pixels(image):
    return np.asarray(image).astype(int)


def test_a_run_goes_on_from_the_start_that_it_picks(settings):
    found = guidegen.starts("a cat", count=3, seed=5, **settings)
    assert [start.number for start in found] == [1, 2, 3]
    picks = [make_config({"prompt": "a cat", "seed": 5, "pick": n, **settings}) for n in (3, 1)]
    made = generate([pick.model_copy(update={"steps": 0}) for pick in picks], write=False)
    third, first = (picture.image for picture in made)
    assert abs(pixels(third) - pixels(found[2].image)).max() == 0
    assert abs(pixels(first) - pixels(found[0].image)).max() == 0
    assert abs(pixels(third) - pixels(first)).max() > 0


def test_the_start_of_lowest_loss_is_the_one_that_a_run_takes_by_itself(settings):
    found = guidegen.starts("a cat", count=4, seed=5, **settings)
    best = min(found, key=lambda start: start.loss)
    config = make_config({"prompt": "a cat", "seed": 5, "starts": 4, "steps": 0, **settings})
    (picture,) = generate([config], write=False)
    assert abs(pixels(picture.image) - pixels(best.image)).max() == 0
    # but for rounding in the views of the first step
    assert len({start.loss for start in found}) == 4


@pytest.mark.parametrize(
    ("backend", "variant", "size"), [(COLLAGE, "", 64), (PYRAMID, "", 32), (VQGAN, "embedded", 64)]
)
def test_the_first_starts_of_many_are_those_of_few(backend, variant, size):
    generator = backend.load(variant, size=(size, size), device="cpu")
    words, seeds = ["0.9,0.2,0.2"], [3]
    three, two = (
        draw(make_loop(words, seeds, generator=generator).evaluator, 0, n) for n in (3, 2)
    )
    for name, value in two.items():
        assert torch.equal(three[name][:2], value)


def test_each_candidate_picks_for_itself():
    def loop():
        return make_loop(["1,0,0", "0,1,0"], [3, 4])

    evaluator = loop().evaluator
    for candidate, pick in zip(evaluator.candidates, (2, None), strict=True):
        object.__setattr__(candidate, "pick", pick)
    chosen = best_of(evaluator, 3)["pixels"]
    again = loop().evaluator
    picked, drawn = draw(again, 0, 2)["pixels"], draw(again, 1, 3)
    assert torch.equal(chosen[0], picked[1].clamp(0, 1))
    best = int(losses_of(again, 1, drawn).argmin())
    assert torch.equal(chosen[1], rows(drawn, slice(best, best + 1))["pixels"][0].clamp(0, 1))


def test_what_can_not_be_is_refused_before_any_work(settings, tmp_path):
    guidegen.starts("a cat", count=1, **settings)[0].image.save(tmp_path / "x.png")
    from_picture = make_config({"prompt": "a", "init_image": tmp_path / "x.png", **settings})
    with pytest.raises(ConfigError, match="init_image: it is a start already"):
        draw_starts(from_picture, 2)
    from_run = make_config({"prompt": "a", "init_run": str(tmp_path / "a-run"), **settings})
    for config in (from_picture, from_run):
        with pytest.raises(ConfigError, match=r"pick: .*not from both"):
            check([config.model_copy(update={"pick": 1})])
    for count in (0, 50_000):
        with pytest.raises(ConfigError, match="draw 1 to 16,384 starts"):
            draw_starts(make_config({"prompt": "a", **settings}), count)
    with pytest.raises(ConfigError, match="pick"):
        make_config({"prompt": "a", "pick": 0, **settings})

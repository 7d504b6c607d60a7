"""Stories whose targets change during the run, and moves of the camera."""

from dataclasses import replace

import pytest
import torch

from guidegen.config import make_config
from guidegen.engine.resolve import check, resolve
from guidegen.errors import ConfigError
from guidegen.guidance.losses.clip import scene_weights
from tests.helpers.loops import make_loop, run


@pytest.mark.parametrize("scenes", [1, 2, 3, 5])
def test_scenes_follow_each_other_and_fade(scenes):
    shares = [i / 300 for i in range(301)]
    weights = torch.tensor([scene_weights(scenes, share) for share in shares])
    assert torch.allclose(weights.sum(1), torch.ones(301))
    assert weights[0].tolist() == [1.0] + [0.0] * (scenes - 1)
    assert weights[-1].tolist() == [0.0] * (scenes - 1) + [1.0]
    assert (weights.diff(dim=0).abs() < 0.3).all()  # no cut
    assert (weights > 0.9).any(0).all()  # each has its time


def story(**settings):
    """First red, then blue; a third prompt belongs to both."""
    prompt = "0.9,0.1,0.1|0.1,0.1,0.9|0.5,0.5,0.5:0.1"
    loop = make_loop([prompt], [3], steps=60, lr=0.05, scenes=2, **settings)
    (target,) = loop.context.targets["tiny"]
    scenes = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    loop.context.targets["tiny"][0] = replace(target, scenes=scenes)
    return loop


def test_a_story_goes_from_scene_to_scene():
    steps = run(story())
    middle, end = steps[20].images[0].mean((1, 2)), steps[-1].images[0].mean((1, 2))
    assert middle[0] > middle[2] + 0.4
    assert end[2] - end[0] > middle[2] - middle[0] + 0.3


def test_the_learning_rate_falls_in_the_last_scene_only():
    rates = [step.lr for step in run(story())]
    assert set(rates[:30]) == {0.05}
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] == pytest.approx(0.005)


def test_a_story_has_steps_for_each_scene():
    one = resolve(make_config({"prompt": "a", "generator": "pixels"}))
    three = resolve(make_config({"prompt": "a^b|c^d", "generator": "pixels"}))
    assert three.steps == 3 * one.steps


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"generator": "collage", "zoom": 1.1}, "collage can't zoom"),
        ({"generator": "pixels", "rotate": 3, "ema": 0.9}, "ema: .*must be 0"),
    ],
)
def test_moves_that_can_not_be(settings, says):
    with pytest.raises(ConfigError, match=says):
        check([make_config({"prompt": "a", **settings})])


@pytest.mark.parametrize("shift", ["1", "a,b", "0,0,0", "2,0", "nan,0"])
def test_shifts_that_can_not_be(shift):
    with pytest.raises(ConfigError, match="shift"):
        make_config({"prompt": "a", "shift": shift})

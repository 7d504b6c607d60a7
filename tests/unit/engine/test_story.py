"""Stories whose targets change during the run, and moves of the camera."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from guidegen.config import make_config
from guidegen.engine.resolve import check, resolve
from guidegen.errors import ConfigError
from guidegen.guidance.camera import Motion, move_picture
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


def disc(x, y, size=(64, 64), radius=6):
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    inside = (rows - y).square() + (columns - x).square() < radius**2
    return inside.float().expand(1, 3, *size)


def centre(image):
    weight = image[0, 0] / image[0, 0].sum()
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in image.shape[-2:]), indexing="ij")
    return float((weight * columns).sum()), float((weight * rows).sum())


def test_a_zoom_magnifies_about_the_middle():
    before = disc(31.5, 31.5)
    after = move_picture(before, Motion(zoom=1.5))
    assert after.sum() / before.sum() == pytest.approx(2.25, rel=0.05)
    assert centre(after) == pytest.approx((31.5, 31.5), abs=0.2)


def test_a_shift_goes_right_and_down():
    moved = move_picture(disc(26, 30), Motion(shift=(0.25, 0.125)))
    assert centre(moved) == pytest.approx((42, 38), abs=0.2)


def test_a_turn_is_anticlockwise_and_keeps_circles_round():
    before = disc(80, 31.5, size=(64, 128), radius=9)
    # what lies beyond the middle square after the turn mirrors what lies in it
    turned = move_picture(before, Motion(rotate=90))[..., 32:96]
    x, y = centre(turned)
    assert x == pytest.approx(31.5, abs=0.3)  # what was on the right is on top
    assert y == pytest.approx(31.5 - (80 - 63.5), abs=0.3)
    assert turned.sum() / before.sum() == pytest.approx(1, rel=0.1)


def test_no_move_changes_nothing():
    image = torch.rand(2, 3, 24, 40)
    assert torch.allclose(move_picture(image, Motion()), image, atol=1e-5)


def test_the_camera_moves_every_so_many_steps():
    still = make_loop(["0.9,0.1,0.1"], [3], steps=9, lr=1e-9)
    moving = replace(still, settings=replace(still.settings, motion=Motion(zoom=1.2, every=4)))
    steps = run(moving)
    change = [float((b.images - a.images).abs().max()) for a, b in pairwise(steps)]
    assert [index + 1 for index, value in enumerate(change) if value > 0.01] == [4, 8]


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

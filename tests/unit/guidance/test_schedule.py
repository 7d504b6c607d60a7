"""What the loop's settings say of each step."""

import math

import pytest

from guidegen.guidance.camera import Motion
from guidegen.guidance.schedule import LoopSettings, measures_the_same
from tests.helpers.loops import make_loop


def test_the_learning_rate_falls_as_half_a_cosine():
    settings = LoopSettings(steps=8, lr=0.4, lr_end=0.25)
    assert settings.lr_at(0) == 0.4
    assert settings.lr_at(2) == pytest.approx(0.1 + 0.3 * (1 + math.cos(math.pi / 4)) / 2)
    assert settings.lr_at(4) == pytest.approx(0.25)
    assert settings.lr_at(8) == pytest.approx(0.1)
    assert {LoopSettings(steps=8, lr=0.4, lr_end=1.0).lr_at(i) for i in range(9)} == {0.4}


def test_the_defaults():
    settings = LoopSettings(steps=10, lr=1.0)
    assert settings.lr_at(10) == pytest.approx(0.1)
    assert (settings.optimizer, settings.scenes, settings.motion) == ("adam", 1, None)
    assert (settings.propose_every, settings.check_every) == (3, 10)


def test_in_a_story_it_falls_in_the_last_scene_only():
    settings = LoopSettings(steps=9, lr=1.0, lr_end=0.0, scenes=3)
    assert [settings.lr_at(i) for i in range(7)] == [1.0] * 7
    assert settings.lr_at(7) == pytest.approx(0.75)
    assert settings.lr_at(9) == pytest.approx(0.0)


def test_progress_is_the_share_of_the_run_and_of_the_scene():
    settings = LoopSettings(steps=8, lr=1.0, scenes=2)
    assert [settings.progress(i) for i in (0, 2, 8)] == [0, 0.25, 1]
    assert [settings.scene_progress(i) for i in (0, 2, 3, 4, 6, 8)] == [0, 0.5, 0.75, 0, 0.5, 1]
    assert LoopSettings(steps=0, lr=1.0).progress(0) == 0


def test_proposals_come_every_few_steps_but_not_in_the_last_third_of_a_scene():
    settings = LoopSettings(steps=18, lr=1.0)
    assert [i for i in range(19) if settings.proposes_at(i)] == [0, 3, 6, 9]
    settings = LoopSettings(steps=18, lr=1.0, scenes=2, propose_every=2)
    assert [i for i in range(19) if settings.proposes_at(i)] == [0, 2, 4, 10, 12, 14]


def test_the_camera_moves_after_every_so_many_steps():
    settings = LoopSettings(steps=9, lr=1.0, motion=Motion(zoom=1.1, every=3))
    assert [i for i in range(9) if settings.moves_after(i)] == [2, 5, 8]
    assert not any(LoopSettings(steps=9, lr=1.0).moves_after(i) for i in range(9))


def test_losses_can_not_be_compared_while_a_weight_changes():
    loop = make_loop(["0.9,0.2,0.2"], [1], steps=20, losses=["tv=1:0.5:1"])
    objective = loop.evaluator.objective
    same = [i for i in range(1, 21) if measures_the_same(objective, loop.settings, i)]
    assert same == [i for i in range(1, 21) if i not in (11, 12)]


def test_nor_while_one_scene_fades_into_the_next():
    loop = make_loop(["0.9,0.2,0.2"], [1], steps=12, scenes=2)
    objective = loop.evaluator.objective
    same = [i for i in range(1, 13) if measures_the_same(objective, loop.settings, i)]
    assert same == [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]

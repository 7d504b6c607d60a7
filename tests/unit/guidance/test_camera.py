"""Moves of the camera between steps."""

from itertools import pairwise

import pytest
import torch

from guidegen.guidance.camera import Motion, move_, move_picture
from tests.helpers.loops import make_loop


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
    motion = Motion(zoom=1.2, every=4)
    steps = make_loop(["0.9,0.1,0.1"], [3], steps=9, lr=1e-9, motion=motion).run()
    change = [float((b.images - a.images).abs().max()) for a, b in pairwise(steps)]
    assert [index + 1 for index, value in enumerate(change) if value > 0.01] == [4, 8]


def test_every_picture_is_moved_and_groups_make_no_difference():
    generator = make_loop(["0.9,0.1,0.1"], [3]).evaluator.generator
    start = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    motion = Motion(zoom=1.3, shift=(0.1, 0.0), rotate=20)
    moved = []
    for groups in ([range(3)], [range(2), range(2, 3)]):
        latents = {"pixels": start.clone().requires_grad_()}
        move_(generator, latents, motion, groups)
        assert latents["pixels"].grad_fn is None
        moved.append(latents["pixels"].detach())
    assert torch.allclose(moved[0], move_picture(start, motion), atol=1e-6)
    assert torch.allclose(moved[0], moved[1], atol=1e-6)


def test_a_move_takes_the_start_along_and_forgets_the_moments():
    motion = Motion(zoom=1.5, every=2)
    loop = make_loop(["0.9,0.1,0.1"] * 2, [3, 4], steps=3, init=5.0, motion=motion)
    steps, states = [], []
    for step in loop.steps():
        steps.append(step)
        states.append(step.snapshot())
    assert (states[1].optimizer.moments["pixels"]["exp_avg"] != 0).any()
    assert (states[2].optimizer.moments["pixels"]["exp_avg"] == 0).all()
    assert torch.equal(states[2].losses["init"]["pixels"], steps[2].latents["pixels"])
    assert torch.equal(states[1].losses["init"]["pixels"], steps[0].latents["pixels"])
    assert steps[2].losses["init"].tolist() == [0, 0]

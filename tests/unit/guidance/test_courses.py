"""What changes in the course of a run: learning rate, sizes of cutouts, resolution."""

import doctest

import pytest
import torch
from torch.nn import functional as F

from guidegen.config import make_config
from guidegen.cutouts import ChangingCutouts, CutoutSettings, make_cutouts
from guidegen.errors import ConfigError
from guidegen.guidance import schedule
from guidegen.guidance.evaluate import coarse
from guidegen.guidance.schedule import LoopSettings, measures_the_same
from tests.helpers.loops import make_loop

WORDS = ["0.9,0.2,0.2", "0.1,0.5,0.9"]


def test_the_learning_rate_rises_over_its_share_of_the_run():
    warm = LoopSettings(steps=100, lr=1.0, lr_end=1.0, warmup=0.1)
    assert [warm.lr_at(i) for i in (0, 4, 9, 10, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    plain, falling = LoopSettings(steps=100, lr=1.0), LoopSettings(steps=100, lr=1.0, warmup=0.1)
    assert [plain.lr_at(i) for i in range(10, 100)] == [falling.lr_at(i) for i in range(10, 100)]


def test_crops_become_what_they_are_to_be_by_the_last_step():
    cutouts = make_cutouts(
        "views", count=64, noise=0.0, whole=0.0, scale=(0.8, 0.9), last_scale=(0.2, 0.4)
    )
    loop = make_loop(WORDS, [1, 2], cutouts=cutouts)
    for progress, low, high in ((0.0, 0.8, 0.9), (0.5, 0.5, 0.65), (1.0, 0.2, 0.4)):
        shrink = loop.evaluator.sample_cutouts(progress=progress).shrink
        assert low <= shrink.min() < shrink.max() <= high
        assert shrink.max() - shrink.min() > 0.7 * (high - low)


def test_the_loop_tells_the_cutouts_how_far_it_is(monkeypatch):
    asked = []
    whole = ChangingCutouts.at

    def at(self, progress):
        asked.append(progress)
        return whole(self, progress)

    monkeypatch.setattr(ChangingCutouts, "at", at)
    cutouts = ChangingCutouts(CutoutSettings(count=2), (0.2, 0.4))
    make_loop(WORDS, [1, 2], steps=2, cutouts=cutouts).run()
    assert asked == [0, 0.5, 1]


def test_other_methods_cutouts_do_not_change():
    with pytest.raises(ConfigError, match="as published") as caught:
        make_cutouts("vqgan-clip", count=1, noise=0.0, last_scale=(0.2, 0.4))
    assert caught.value.field == "cutout_scale_end"
    with pytest.raises(ConfigError, match="no range of sizes"):
        make_config({"prompt": "a", "cutout_scale_end": "0.5"})


def test_a_coarse_picture_has_the_size_and_no_more_than_a_smaller_one_shows():
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(coarse(image, 0), image)
    seen = coarse(image, 2)
    assert seen.shape == image.shape
    assert torch.allclose(seen.mean((2, 3)), image.mean((2, 3)), atol=0.02)
    leaf = image.clone().requires_grad_()
    (coarse(leaf, 2) * torch.rand(1, 3, 32, 32)).sum().backward()
    blocks = leaf.grad.view(1, 3, 8, 4, 8, 4)
    assert torch.allclose(blocks, blocks[..., :1, :, :1].expand_as(blocks))


def test_a_run_begins_coarse_and_ends_fine():
    loop = make_loop(WORDS, [1, 2], steps=8).but(doublings=2)
    steps = loop.run()
    detail = []
    for step in steps:
        smooth = F.interpolate(F.avg_pool2d(step.images, 2), scale_factor=2.0)
        detail.append(float((step.images - smooth).abs().mean()))
    assert max(detail[:4]) < 0.5 * min(detail[4:])
    with_stages = LoopSettings(steps=8, lr=0.1, doublings=2)
    same = [measures_the_same(loop.evaluator.objective, with_stages, i) for i in range(1, 9)]
    assert same == [True, False, True, False, True, True, True, True]


def test_the_example_of_the_docstring():
    assert doctest.testmod(schedule) == (0, 1)

"""Total variation, by hand and in the loop."""

import pytest
import torch
from torch.autograd import gradcheck

from guidegen.guidance.losses.total_variation import TotalVariation
from guidegen.interfaces import Decoded
from tests.helpers.loops import make_loop

WORDS = ["0.9,0.2,0.2", "0.1,0.5,0.9"]


def tv(images):
    return TotalVariation().image_loss(Decoded(images, {}, range(len(images)), 0.0))


def test_it_is_the_mean_difference_across_plus_that_down():
    image = torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.1]])
    flat = torch.full((3, 3), 0.3)
    across = (1.0 + 0.0 + 0.0 + 0.5 + 0.5 + 0.4) / 6
    down = (0.5 + 0.5 + 1.0 + 0.5 + 0.0 + 0.1) / 6
    pictures = torch.stack([image, flat])[:, None].expand(2, 3, 3, 3)
    assert tv(pictures).tolist() == pytest.approx([across + down, 0.0])


def test_the_figures_of_the_docstring():
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert tv(noise).item() == pytest.approx(2 / 3, abs=0.01)


def test_its_gradient():
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert gradcheck(tv, image.requires_grad_())


def test_in_the_loop_it_makes_pictures_smoother():
    def roughness(loop):
        return tv(loop.run()[-1].images)

    plain = roughness(make_loop(WORDS, [1, 2], steps=4))
    smooth = roughness(make_loop(WORDS, [1, 2], steps=4, losses=["tv=20"]))
    assert (smooth < 0.8 * plain).all()


def test_in_the_loop_it_is_weighted_scheduled_and_the_neighbours_do_not_matter():
    losses = ["tv=2:0.5:1"]
    steps = make_loop(WORDS, [1, 2], steps=4, losses=losses).run()
    assert [bool((step.losses["tv"] > 0).all()) for step in steps] == [False] * 3 + [True] * 2
    last = steps[-1]
    assert torch.allclose(last.losses["tv"], 2 * tv(last.images))
    parts = sum(value for name, value in last.losses.items() if name != "total")
    assert torch.allclose(last.losses["total"], parts)
    alone = make_loop(WORDS[1:], [2], steps=4, losses=losses).run()[-1]
    assert torch.equal(alone.images[0], last.images[1])

"""Adversarial pictures within an L2 ball."""

import pytest
import torch

from guidegen.training.clip.attack import l2_attack


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=6, size=12):
    # bright and dark ones too, whose ball reaches out of [0, 1]
    shade = torch.linspace(0, 1, n).view(n, 1, 1, 1)
    return (0.3 * torch.rand(n, 3, size, size, generator=rng(1)) + 0.7 * shade).clamp(0, 1)


def loss(images):
    direction = torch.randn(images.shape[1:], generator=rng(2))
    return (images * direction).sum((1, 2, 3)).tanh() + images.square().sum((1, 2, 3))


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_no_picture_leaves_its_ball_or_the_range_of_colours(steps):
    clean = pictures()
    eps = torch.linspace(0.05, 2, len(clean))
    hard = l2_attack(clean, loss, eps, steps=steps, rng=rng())
    assert ((hard - clean).flatten(1).norm(dim=1) <= eps * (1 + 1e-5)).all()
    assert hard.min() >= 0
    assert hard.max() <= 1
    assert not hard.requires_grad


def test_every_picture_is_harder_than_before():
    clean = pictures(5) * 0.5 + 0.2
    hard = l2_attack(clean, loss, torch.full((5,), 0.8), steps=5, rng=rng())
    assert (loss(hard) > loss(clean)).all()


def test_more_steps_reach_a_higher_loss():
    clean = pictures(5) * 0.5 + 0.2
    few, many = (
        loss(l2_attack(clean, loss, torch.full((5,), 0.8), steps=n, step_size=0.2, rng=rng()))
        for n in (1, 10)
    )
    assert (many > few).all()


def test_the_start_follows_from_the_rng():
    clean, eps = pictures(2), torch.full((2,), 0.5)
    one, again, other = (l2_attack(clean, loss, eps, steps=1, rng=rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)

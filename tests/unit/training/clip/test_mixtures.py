"""Pictures made of two, for losses without captions."""

import torch

from guidegen.training.clip.mixtures import mixtures


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_mixtures_are_pictures_of_two_others_and_follow_from_the_seed():
    images = torch.rand(6, 3, 16, 16, generator=generator(1))
    mixed = mixtures(images, generator())
    assert mixed.shape == images.shape
    assert float(mixed.min()) >= 0
    assert float(mixed.max()) <= 1
    assert torch.equal(mixed, mixtures(images, generator()))
    assert not torch.equal(mixed, mixtures(images, generator(2)))


def test_greys_stay_grey_whatever_the_turn_but_for_blotches():
    images = torch.full((200, 3, 8, 8), 0.5)
    mixed = mixtures(images, generator())
    plain = (mixed - 0.5).abs().amax((1, 2, 3)) < 1e-5
    assert 50 < int(plain.sum()) < 150  # those without blotches

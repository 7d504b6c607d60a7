"""The patch discriminator's game, and codes replaced at random."""

import torch

from guidegen.training.vqgan.codebook import nearest, noisy, sampled, scrambled
from guidegen.training.vqgan.discriminator import Adversary, PatchDiscriminator


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_there_is_a_logit_for_each_patch():
    assert PatchDiscriminator(4)(torch.rand(2, 3, 32, 48)).shape == (2, 1, 3, 5)


def test_it_learns_to_tell_flat_pictures_from_grain():
    torch.manual_seed(0)
    adversary = Adversary(torch.device("cpu"), lr=2e-3)
    flat = torch.rand(4, 3, 1, 1, generator=rng()).expand(4, 3, 32, 32)
    grain = (flat + 0.3 * torch.randn(4, 3, 32, 32, generator=rng(1))).clamp(0, 1)
    losses = [adversary.learn(flat, grain) for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]
    assert adversary.judge(flat) < adversary.judge(grain)


def test_what_the_decoder_lowers_leaves_the_discriminator_as_it_is():
    adversary = Adversary(torch.device("cpu"))
    picture = torch.rand(1, 3, 32, 32, generator=rng()).requires_grad_()
    adversary.judge(picture).backward()
    assert picture.grad.abs().sum() > 0
    assert all(p.grad is None for p in adversary.net.parameters())


def test_no_more_codes_are_replaced_than_said_and_half_of_the_pictures_are_spared():
    codebook = torch.arange(1, 51.0)[:, None].expand(50, 4)
    codes = torch.zeros(200, 4, 16, 16)
    out = scrambled(codes, codebook, 0.6, rng())
    hit = (out != 0).all(1).float().mean((1, 2))
    assert torch.equal(hit > 0, (out != 0).flatten(1).any(1))
    assert 0.35 < (hit == 0).float().mean() < 0.65
    assert 0.4 < hit.max() < 0.75
    assert torch.equal(out, scrambled(codes, codebook, 0.6, rng()))


def test_noise_is_as_strong_as_said_in_units_of_the_codebook_and_spares_half_of_the_pictures():
    codebook = torch.randn(500, 2, generator=rng()) * torch.tensor([1.0, 10.0])
    z = torch.zeros(300, 2, 8, 8)
    moved = noisy(z, codebook, 0.5, rng(1))
    spread = moved.std((2, 3))
    assert torch.equal(moved, noisy(z, codebook, 0.5, rng(1)))
    assert 0.4 < (spread == 0).all(1).float().mean() < 0.6
    assert 0.4 < spread[:, 0].max() < 0.7
    assert 4 < spread[:, 1].max() < 7


def test_sampled_codes_are_of_the_codebook_and_smooth_or_rough_from_picture_to_picture():
    codebook = torch.randn(300, 4, generator=rng())
    z = codebook[torch.randint(300, (40, 16, 16), generator=rng(1))].permute(0, 3, 1, 2)
    out = sampled(z, codebook, 30, rng(2))
    assert out.shape == (30, 4, 16, 16)
    rows = out.permute(0, 2, 3, 1).reshape(-1, 4)
    assert torch.equal(codebook[nearest(rows, codebook)], rows)
    roughness = (out[..., 1:] - out[..., :-1]).square().mean((1, 2, 3)) / (2 * out.var((1, 2, 3)))
    assert roughness.min() < 0.5 < 0.9 < roughness.max()
    assert out.std() > 0.7 * codebook.std()

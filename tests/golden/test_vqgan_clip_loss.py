"""The spherical objective against VQGAN-CLIP's loss, written down anew from its description.

|w| · mean over cutouts of (sign(w) · 2·arcsin²(‖x̂ − ŷ‖ / 2)), whose gradient is cut where it lies
below the prompt's stop; prompts add up.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from guidegen.guidance.losses.clip import ClipDistance
from guidegen.interfaces import Target, Viewed
from tests.helpers.fakes import TinyPerceptor

CASES = {
    "one": [(1.0, -math.inf)],
    "weighted": [(1.0, -math.inf), (0.3, -math.inf), (2.5, -math.inf)],
    "negative": [(1.0, -math.inf), (-0.5, -math.inf)],
    "stops": [(1.0, 0.9), (0.7, 1.3), (-0.4, -1.1), (-0.6, -0.8), (0.2, 0.0)],
}


class Theirs(torch.autograd.Function):
    """The first argument forward, the gradient to the second."""

    @staticmethod
    def forward(ctx, value, other):
        return value

    @staticmethod
    def backward(ctx, grad):
        return None, grad


def their_loss(features, embeds, prompts):
    total = torch.zeros((), dtype=features.dtype)
    for embed, (weight, stop) in zip(embeds, prompts, strict=True):
        apart = F.normalize(features, dim=1) - F.normalize(embed, dim=0)
        distance = 2 * torch.arcsin(apart.norm(dim=1) / 2) ** 2 * math.copysign(1, weight)
        floor = torch.full_like(distance, stop)
        total = total + abs(weight) * Theirs.apply(distance, torch.maximum(distance, floor)).mean()
    return total


def our_loss(features, embeds, prompts):
    target = Target(
        F.normalize(embeds, dim=1),
        torch.tensor([weight for weight, _ in prompts]),
        torch.tensor([stop for _, stop in prompts]),
    )
    unit = F.normalize(features, dim=1)
    perceptor = TinyPerceptor()
    viewed = Viewed(unit, torch.zeros(len(unit), 3, 1, 1), perceptor, [0] * len(unit), 0.0)
    return ClipDistance({perceptor.name: [target]}).view_loss(viewed).mean()


def setting(prompts, seed=0):
    rng = torch.Generator().manual_seed(seed)
    embeds = torch.randn(len(prompts), 16, generator=rng)
    weight = torch.randn(12, 10, 16, generator=rng) / 4
    latent = torch.randn(10, generator=rng)

    def features(z):
        """Twelve cutouts' features of a small latent."""
        return torch.tanh(torch.einsum("d,ndf->nf", z, weight))

    return embeds, features, latent


@pytest.mark.parametrize("prompts", CASES.values(), ids=CASES)
def test_value_and_gradient(prompts):
    embeds, features, latent = setting(prompts)
    found = []
    for loss_of in (our_loss, their_loss):
        z = latent.clone().requires_grad_()
        loss = loss_of(features(z), embeds, prompts)
        loss.backward()
        found.append((loss.detach(), z.grad))
    (ours, our_grad), (theirs, their_grad) = found
    assert torch.allclose(ours, theirs, atol=1e-5, rtol=0)
    assert torch.allclose(our_grad, their_grad, atol=1e-4, rtol=0)
    assert their_grad.abs().max() > 1e-3


def test_the_stops_of_the_case_cut_some_gradients_but_not_all():
    prompts = CASES["stops"]
    embeds, features, latent = setting(prompts)
    z = latent.clone()
    for embed, (weight, stop) in zip(embeds, prompts, strict=True):
        apart = F.normalize(features(z), dim=1) - F.normalize(embed, dim=0)
        signed = 2 * torch.arcsin(apart.norm(dim=1) / 2) ** 2 * math.copysign(1, weight)
        share = (signed < stop).float().mean()
        assert share < 1
        assert share > 0 or stop == 0.0


@pytest.mark.parametrize("prompts", CASES.values(), ids=CASES)
def test_after_five_steps_of_adam(prompts):
    embeds, features, latent = setting(prompts, seed=1)
    ends, values = [], []
    for loss_of in (our_loss, their_loss):
        z = latent.clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=0.1)
        for _ in range(5):
            adam.zero_grad()
            loss_of(features(z), embeds, prompts).backward()
            adam.step()
        ends.append(z.detach())
        values.append(loss_of(features(z), embeds, prompts).detach())
    assert torch.allclose(values[0], values[1], atol=1e-5, rtol=0)
    assert torch.allclose(ends[0], ends[1], atol=1e-4, rtol=0)
    assert (ends[1] - latent).abs().max() > 0.3

"""Batch norms that generators use for their sums, with versions of PyTorch that we support."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from generators.biggan.block import modulated
from generators.vqgan.group_norm import group_norm


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    """PyTorch 2.11 refuses an epsilon of 0; later versions do not."""
    batch_norm = F.batch_norm

    def refusing(*args, eps=1e-5, **options):
        assert eps > 0
        return batch_norm(*args, eps=eps, **options)

    monkeypatch.setattr(F, "batch_norm", refusing)


def test_one_picture_is_scaled_and_shifted_exactly_as_two_are():
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    a, b = torch.tensor([[0.5, -2.0, 3.0]]), torch.tensor([[0.1, 0.0, -1.0]])
    alone, two = modulated(x, a, b), modulated(x.repeat(2, 1, 1, 1), a, b)
    torch.testing.assert_close(alone, two[:1])


def test_group_norm_in_half_precision_has_a_gradient():
    norm = nn.GroupNorm(2, 4).requires_grad_(False)
    x = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    exact = x.clone().requires_grad_()
    norm(exact).square().sum().backward()
    half = x.bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    group_norm(norm, half).square().sum().backward()
    assert (half.grad.float() - exact.grad).abs().max() < 0.1

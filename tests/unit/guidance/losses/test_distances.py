import math

import torch
from torch.autograd import gradcheck

from guidegen.guidance.losses.distances import cosine_distance, spherical_distance
from guidegen.ops import clamp_with_grad, straight_through


def unit(*shape, seed=0):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def test_spherical_distance_is_half_the_squared_angle():
    for angle in (0.3, 1.0, 2.5):
        x = torch.tensor([1.0, 0.0])
        y = torch.tensor([math.cos(angle), math.sin(angle)])
        assert math.isclose(spherical_distance(x, y).item(), angle**2 / 2, rel_tol=1e-5)


def test_distances_are_differentiable_even_at_zero_and_at_the_antipode():
    x = unit(4, 8).requires_grad_()
    y = unit(4, 8, seed=1)
    assert gradcheck(lambda a: spherical_distance(a, y), x)
    assert gradcheck(lambda a: cosine_distance(a, y), x)
    for target in (x.detach(), -x.detach()):
        (grad,) = torch.autograd.grad(spherical_distance(x, target).sum(), x)
        assert grad.isfinite().all()


def test_clamp_passes_gradient_only_where_descent_leads_back():
    x = torch.tensor([-1.0, -1.0, 0.5, 2.0, 2.0], requires_grad=True)
    out = clamp_with_grad(x)
    assert out.tolist() == [0, 0, 0.5, 1, 1]
    # descent moves against the gradient: -1 needs a negative one, 2 a positive one
    out.backward(torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0]))
    assert x.grad.tolist() == [-1, 0, 1, 1, 0]


def test_straight_through_takes_one_value_and_the_other_gradient():
    x = torch.tensor([0.3, 0.8], requires_grad=True)
    out = straight_through(x.round(), x * 2)
    assert out.tolist() == [0, 1]
    out.sum().backward()
    assert x.grad.tolist() == [2, 2]

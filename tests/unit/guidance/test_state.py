"""What an optimiser remembers: copied, put back, forgotten."""

import pytest
import torch

from guidegen.guidance.optimize import OPTIMIZERS
from guidegen.guidance.state import copy_optimizer, forget_moments, restore
from guidegen.interfaces import LoopState


def make(kind, seed=0):
    rng = torch.Generator().manual_seed(seed)
    latents = {
        "a": torch.randn(3, 4, generator=rng).requires_grad_(),
        "b": torch.randn(3, 1, 2, generator=rng).requires_grad_(),
        "choice": torch.arange(3),
    }
    leaves = [latents["a"], latents["b"]]
    return latents, OPTIMIZERS[kind](leaves, lr=0.1)


def update(latents, optimizer, count=1):
    for _ in range(count):
        optimizer.zero_grad()
        ((latents["a"] - 1) ** 2).sum().backward()
        ((latents["b"] + 1) ** 4).sum().backward()
        optimizer.step()


def rngs():
    return [torch.Generator().manual_seed(i) for i in range(3)]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_what_is_put_back_goes_on_as_if_nothing_had_happened(kind):
    latents, optimizer = make(kind)
    update(latents, optimizer, 3)
    state = LoopState(
        3,
        {name: value.detach().clone() for name, value in latents.items()},
        torch.stack([rng.get_state() for rng in rngs()]),
        copy_optimizer(latents, optimizer),
    )
    update(latents, optimizer, 2)
    others, fresh = make(kind, seed=1)
    generators = [torch.Generator().manual_seed(9) for _ in range(3)]
    restore(state, others, fresh, generators)
    update(others, fresh, 2)
    for name, value in latents.items():
        assert torch.equal(value, others[name])
    wanted = [torch.rand(2, generator=rng).tolist() for rng in rngs()]
    assert [torch.rand(2, generator=rng).tolist() for rng in generators] == wanted


def test_a_copy_has_moments_by_row_and_counters_for_all_and_does_not_change():
    latents, optimizer = make("adam")
    empty = copy_optimizer(latents, optimizer)
    assert empty.moments == empty.counters == {"a": {}, "b": {}}
    update(latents, optimizer)
    copy = copy_optimizer(latents, optimizer)
    assert copy.moments["b"].keys() == {"exp_avg", "exp_avg_sq"}
    assert copy.counters["b"].keys() == {"step"}
    before = copy.moments["a"]["exp_avg"].clone()
    update(latents, optimizer)
    assert torch.equal(copy.moments["a"]["exp_avg"], before)
    assert copy.counters["a"]["step"] == 1


def test_moments_of_the_candidates_named_are_forgotten_and_no_others():
    latents, optimizer = make("adam")
    forget_moments(latents, optimizer, [0])  # before the first update there are none
    update(latents, optimizer)
    before = copy_optimizer(latents, optimizer)
    forget_moments(latents, optimizer, [])
    forget_moments(latents, optimizer, [2, 0])
    after = copy_optimizer(latents, optimizer)
    for name in ("a", "b"):
        for key in ("exp_avg", "exp_avg_sq"):
            moment = after.moments[name][key]
            assert (moment[[0, 2]] == 0).all()
            assert torch.equal(moment[1], before.moments[name][key][1])
            assert (moment[1] != 0).all()
        assert after.counters[name]["step"] == 1

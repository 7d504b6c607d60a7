"""The average of a network's weights."""

import pytest
import torch
from torch import nn

from guidegen.training.average import WarmAverage


def test_the_first_steps_weigh_much_and_later_ones_as_the_decay_says():
    net, seen = nn.BatchNorm1d(1), []
    average = WarmAverage(net, 0.9)
    expected = None
    for step in range(150):
        with torch.no_grad():
            net.weight.fill_(float(step))
            net.running_mean.fill_(float(step))
        average.update_parameters(net)
        share = 1 if step == 0 else 1 - min(0.9, (1 + step) / (10 + step))
        expected = share * step + (1 - share) * (expected or 0.0)
        seen.append(float(average.module.weight.detach()))
        torch.testing.assert_close(average.module.weight.item(), expected, rtol=1e-4, atol=1e-5)
    assert 8.5 < 149 - seen[-1] < 9.5  # a delay of decay / (1 - decay) steps
    assert average.module.running_mean == 149


def test_buffers_are_averaged_if_that_is_asked_for_but_not_counts():
    net = nn.BatchNorm1d(1)
    average = WarmAverage(net, 0.9, use_buffers=True)
    for step in (0, 1):
        net.running_mean.fill_(float(step))
        net.num_batches_tracked.fill_(step)
        average.update_parameters(net)
    assert average.module.running_mean == pytest.approx(1 - 2 / 11)
    assert average.module.num_batches_tracked == 1


def test_it_goes_on_from_its_state():
    net = nn.Linear(2, 1)
    one, other = WarmAverage(net, 0.9), WarmAverage(net, 0.9)
    for step in range(6):
        with torch.no_grad():
            net.weight.add_(1)
        one.update_parameters(net)
        if step == 2:
            other.load_state_dict(one.state_dict())
        if step > 2:
            other.update_parameters(net)
    assert torch.equal(one.module.weight, other.module.weight)

"""The averaged latents and the best so far, step by step."""

import pytest
import torch

from guidegen.guidance.averaging import averaged, best_so_far
from guidegen.interfaces import LoopState, OptimizerState, Step


def state(index, latents):
    return LoopState(index, latents, torch.zeros(len(latents["x"]), 1), OptimizerState({}, {}))


def step(index, values, choices=None, losses=None, kept=True):
    """A step whose only latent is `values`, a number a candidate."""
    latents = {"x": torch.tensor(values)[:, None]}
    if choices is not None:
        latents["choice"] = torch.tensor(choices)[:, None]
    total = torch.tensor(losses or [0.0] * len(values))
    snapshot = (lambda: state(index, latents)) if kept else None
    return Step(index, 9, latents, picture(latents), {"total": total}, 0.1, snapshot=snapshot)


def picture(latents):
    assert not torch.is_grad_enabled() or not latents["x"].requires_grad
    return latents["x"].view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def shown(steps, decay, **options):
    return list(averaged(iter(steps), decay, picture, **options))


def values(steps):
    return [step.latents["x"].flatten().tolist() for step in steps]


def test_the_average_is_bias_corrected():
    found = shown([step(0, [1.0, 4.0]), step(1, [2.0, 4.0]), step(2, [4.0, 4.0])], 0.5)
    first, second = (1 * 0.5 + 2 * 1) / 1.5, (1 * 0.25 + 2 * 0.5 + 4 * 1) / 1.75
    assert [row[0] for row in values(found)] == pytest.approx([1.0, first, second])
    assert [row[1] for row in values(found)] == pytest.approx([4.0] * 3)
    assert found[1].images[0, 0, 0, 0] == pytest.approx(first)


def test_a_candidate_whose_choice_changed_begins_anew_and_the_others_do_not():
    steps = [
        step(0, [0.0, 0.0], [1, 1]),
        step(1, [6.0, 6.0], [1, 2]),
        step(2, [6.0, 6.0], [1, 2]),
    ]
    found = values(shown(steps, 0.5))
    assert found[1] == pytest.approx([4.0, 6.0])
    assert found[2] == pytest.approx([6 * 1.5 / 1.75, 6.0])
    assert shown(steps, 0.5)[1].latents["choice"].flatten().tolist() == [1, 2]


def test_any_of_a_candidates_choices_counts():
    steps = [step(0, [0.0, 0.0]), step(1, [6.0, 6.0])]
    for which, choices in zip(steps, ([[1, 2], [3, 4]], [[1, 2], [3, 5]]), strict=True):
        which.latents["choice"] = torch.tensor(choices)
    assert values(shown(steps, 0.5))[1] == pytest.approx([4.0, 6.0])


def test_it_goes_on_from_its_own_part_of_the_state_without_counting_a_step_twice():
    steps = [step(i, [float(i * i), 1.0], [0, i // 2]) for i in range(5)]
    whole = shown(steps, 0.8)
    for index in range(4):
        kept = whole[index].snapshot()
        rest = shown(steps[index:], 0.8, resume=kept)
        assert values(rest) == values(whole[index:])
        again = rest[0].snapshot().average
        assert torch.equal(again.weight, kept.average.weight)
        assert torch.equal(again.sums["x"], kept.average.sums["x"])
        assert "choice" not in kept.average.sums


def test_the_best_is_each_candidates_own_and_ties_keep_the_earlier():
    steps = [
        step(0, [0.0, 10.0], losses=[3.0, 1.0]),
        step(1, [1.0, 11.0], losses=[2.0, 1.0]),
        step(2, [2.0, 12.0], losses=[2.5, 0.5]),
    ]
    found = list(best_so_far(iter(steps)))
    best = [step.best["x"].flatten().tolist() for step in found]
    assert best == [[0, 10], [1, 10], [1, 12]]
    kept = found[-1].snapshot().best
    assert kept.loss.tolist() == [2.0, 0.5]
    assert kept.latents["x"].flatten().tolist() == [1, 12]


def test_where_losses_can_not_be_compared_the_newest_is_the_best():
    steps = [step(i, [float(i)], losses=[loss]) for i, loss in enumerate([1.0, 5.0, 6.0, 4.0])]
    best = [step.best["x"].item() for step in best_so_far(iter(steps), comparable=lambda i: i != 1)]
    assert best == [0, 1, 1, 3]


def test_the_best_goes_on_from_its_own_part_of_the_state():
    losses = [3.0, 1.0, 2.0, 0.5, 4.0]
    steps = [step(i, [float(i)], losses=[loss]) for i, loss in enumerate(losses)]

    def best(steps, **options):
        wrapped = best_so_far(iter(steps), comparable=lambda i: i != 2, **options)
        return [(step.best["x"].item(), step.snapshot().best.loss.item()) for step in wrapped]

    whole = best(steps)
    assert whole == [(0, 3), (1, 1), (2, 2), (3, 0.5), (3, 0.5)]
    snapshots = [step.snapshot() for step in best_so_far(iter(steps), comparable=lambda i: i != 2)]
    for index in range(4):
        assert best(steps[index:], resume=snapshots[index]) == whole[index:]


def test_each_wrapper_adds_its_part_and_leaves_the_other():
    inner = averaged(iter([step(0, [1.0])]), 0.5, picture)
    (last,) = best_so_far(inner)
    assert last.snapshot().average.weight.tolist() == [0.5]
    assert last.snapshot().best.loss.tolist() == [0.0]
    (last,) = averaged(best_so_far(iter([step(0, [1.0])])), 0.5, picture)
    assert last.snapshot().average.weight.tolist() == [0.5]
    assert last.snapshot().best.loss.tolist() == [0.0]


def test_a_step_that_can_not_be_gone_on_from_stays_so():
    (last,) = best_so_far(averaged(iter([step(0, [1.0], kept=False)]), 0.5, picture))
    assert last.snapshot is None

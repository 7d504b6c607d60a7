import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from guidegen.errors import OptimizationError
from guidegen.guidance.objective import Term
from guidegen.guidance.starts.search import best_of
from guidegen.prompt.loss_terms import LossTerm
from tests.helpers.loops import make_loop, run


def test_the_loop_finds_the_colour_that_the_prompt_asks_for():
    steps = run(make_loop(["0.9,0.2,0.2"], [3], steps=25))
    assert [step.index for step in steps] == list(range(26))
    red, green, blue = steps[-1].images[0].mean((1, 2))
    assert red > green + 0.3
    assert red > blue + 0.3
    assert steps[-1].losses["total"] < 0.3 * steps[0].losses["total"]


def test_negative_weights_push_away():
    def blue(prompt):
        return run(make_loop([prompt], [3], steps=6))[-1].images[0, 2].mean()

    # without its negative prompt this asks for nothing that the first does not
    plain, zeroed = blue("0.5,0.5,0.5"), blue("0.5,0.5,0.5|0.2,0.2,0.9:0.000001")
    away, towards = blue("0.5,0.5,0.5|0.2,0.2,0.9:-0.5"), blue("0.5,0.5,0.5|0.2,0.2,0.9:0.5")
    assert abs(plain - zeroed) < 0.02
    assert away < plain - 0.05
    assert towards > away + 0.1


def test_a_prompt_below_its_stop_pulls_no_more():
    loop = make_loop(["0.9,0.2,0.2:1:0.5"], [3], steps=16)
    steps = run(loop)
    free = run(make_loop(["0.9,0.2,0.2"], [3], steps=16))
    assert steps[-1].losses["total"] > free[-1].losses["total"]
    assert steps[-1].losses["total"] < 0.55


def test_steps_are_consistent_and_keep_their_state():
    loop = make_loop(["0.1,0.9,0.1"], [5])
    steps = run(loop)
    for step in steps[::2]:
        assert torch.equal(loop.evaluator.generator.decode(step.latents), step.images)
        assert not step.images.requires_grad
    assert not torch.equal(steps[0].latents["pixels"], steps[-1].latents["pixels"])


def test_same_seed_same_pixels_twice_and_among_others():
    alone = run(make_loop(["0.2,0.9,0.3"], [11]))[-1].images[0]
    again = run(make_loop(["0.2,0.9,0.3"], [11]))[-1].images[0]
    texts = ["0.9,0.1,0.1", "a cat", "0.2,0.9,0.3", "0.5,0.5,0.9"]
    together = run(make_loop(texts, [1, 2, 11, 4]))[-1].images[2]
    assert torch.equal(alone, again)
    torch.testing.assert_close(alone, together, atol=1e-3, rtol=0)


def test_candidates_in_one_group_agree_with_candidates_one_by_one():
    texts, seeds = ["0.9,0.1,0.1", "0.2,0.9,0.3", "a cat"], [1, 2, 3]
    single = run(make_loop(texts, seeds))[-1].images
    grouped = run(make_loop(texts, seeds, group=3))[-1].images
    assert (single - grouped).abs().max() < 2 / 255


def test_the_state_of_a_step_is_where_the_loop_goes_on_exactly():
    words, seeds = ["0.9,0.5,0.1", "0.1,0.5,0.9"], [4, 5]
    whole = [(step, step.snapshot()) for step in make_loop(words, seeds, steps=4).steps()]
    for index in (0, 2, 4):
        state = whole[index][1]
        rest = make_loop(words, seeds, steps=4).run(dict(state.latents), resume=state)
        assert [step.index for step in rest] == list(range(index, 5))
        for step, (before, _) in zip(rest, whole[index:], strict=True):
            assert torch.equal(step.latents["pixels"], before.latents["pixels"])
            assert torch.equal(step.losses["total"], before.losses["total"])
            assert step.lr == before.lr


def test_a_state_does_not_change_when_the_loop_goes_on():
    steps = make_loop(["0.9,0.5,0.1"], [4], steps=3).steps()
    next(steps)
    first = next(steps)
    state = first.snapshot()
    kept = state.latents["pixels"].clone()
    next(steps)
    assert torch.equal(state.latents["pixels"], kept)
    assert torch.equal(first.latents["pixels"], kept)


def test_the_start_is_not_changed():
    loop = make_loop(["0.9,0.5,0.1"], [4], steps=2)
    start = best_of(loop.evaluator, 1)
    before = start["pixels"].clone()
    steps = loop.run(start)
    assert torch.equal(start["pixels"], before)
    assert torch.equal(steps[0].latents["pixels"], before)


class Linear:
    """The same gradient everywhere."""

    def image_loss(self, decoded):
        return decoded.images.mean((1, 2, 3))


def test_each_step_uses_the_rate_that_it_tells():
    loop = make_loop(["0.9,0.5,0.1"], [4], optimizer="sgd", lr=50.0, lr_end=0.0)
    terms = (Term(LossTerm("linear", 1.0), Linear()),)
    steps = loop.but(objective=replace(loop.evaluator.objective, terms=terms)).run()
    rates = [step.lr for step in steps]
    assert rates == pytest.approx([50, 42.68, 25, 7.32, 0], abs=0.01)
    moved = [float((a.images - b.images).mean()) for a, b in pairwise(steps)]
    assert moved == pytest.approx([rate / (3 * 24 * 24) for rate in rates[:-1]], rel=1e-3)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_candidate_and_term():
    loop = make_loop(["0.9,0.5,0.1", "0.9,0.5,0.1"], [4, 5], steps=12)
    loop.context.targets["tiny"][1].weights.fill_(float("nan"))
    with pytest.raises(OptimizationError, match=r"candidate 1 is not finite at step 0 \(clip\)"):
        run(loop)


def test_the_check_waits_for_the_device_only_every_few_steps_and_at_the_end():
    class Bad:
        def image_loss(self, decoded):
            self.progress.append(decoded.progress)
            return decoded.images.mean((1, 2, 3)) * (math.nan if decoded.progress >= 0.25 else 1)

    def fails(**settings):
        bad = Bad()
        bad.progress = []
        loop = make_loop(["0.9,0.5,0.1"], [4], **settings)
        term = Term(LossTerm("bad", 1.0), bad)
        objective = replace(loop.evaluator.objective, terms=(term,))
        with pytest.raises(OptimizationError, match=r"\(bad\); try a smaller"):
            loop.but(objective=objective).run()
        return len(bad.progress) - 1

    assert fails(steps=8, check_every=3) == 3
    assert fails(steps=8, check_every=100) == 8


def test_zero_steps_yield_the_start():
    (step,) = run(make_loop(["0.9,0.5,0.1"], [4], steps=0))
    assert step.index == step.total == 0


def test_more_starts_give_a_better_start():
    def first_loss(starts):
        losses = []
        for seed in range(4):
            loop = make_loop(["0.9,0.5,0.1"], [seed], steps=0)
            start = best_of(loop.evaluator, starts)
            losses.append(next(loop.steps(start)).losses["total"])
        return torch.cat(losses).mean()

    assert first_loss(8) < first_loss(1)

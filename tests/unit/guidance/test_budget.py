from dataclasses import replace

import pytest
import torch

from guidegen.guidance import budget
from guidegen.guidance.budget import share_micro_batches
from guidegen.guidance.objective import Term
from guidegen.guidance.starts.search import best_of
from guidegen.prompt.loss_terms import LossTerm
from tests.helpers.fakes import TinyPerceptor
from tests.helpers.loops import make_loop

WORDS = ["0.9,0.1,0.1", "0.2,0.9,0.3", "0.5,0.5,0.9"]


class Jealous(TinyPerceptor):
    """Sees otherwise in larger company."""

    def encode_image(self, images):
        features = super().encode_image(images) + 1e-3 * len(images)
        return features / features.norm(dim=1, keepdim=True)


def loop(perceptor=None, **options):
    perceptors = ((perceptor or TinyPerceptor(), 1.0),)
    return make_loop(WORDS, [1, 2, 3], perceptors=perceptors, steps=2, **options)


def shared(made, start=None):
    start = best_of(made.evaluator, 1) if start is None else start
    share_micro_batches(made.evaluator, start)
    return made.evaluator.budget.group


def test_candidates_whose_bits_depend_on_company_go_one_by_one():
    assert shared(loop(Jealous())) == 1


class Neighbourly:
    """A loss that is another in company."""

    def image_loss(self, decoded):
        return decoded.images.mean((1, 2, 3)) * len(decoded.images)


@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_a_term_that_depends_on_company_is_found_whenever_it_counts(begin):
    made = loop()
    term = Term(LossTerm("neighbourly", 1.0, begin, 1.0), Neighbourly())
    objective = replace(made.evaluator.objective, terms=(term,))
    assert shared(made.but(objective=objective)) == 1


@pytest.mark.parametrize(("batch", "group"), [(32, 2), (16, 2), (8, 1), (4, 1)])
def test_where_bits_are_equal_a_micro_batch_is_filled(monkeypatch, batch, group):
    # what kernels really do is the processor's choice
    monkeypatch.setattr(budget, "_gradients", lambda *_: [torch.ones(2)])
    assert shared(loop(batch=batch)) == group


def test_generators_that_keep_too_much_go_one_by_one(monkeypatch):
    monkeypatch.setattr(budget, "_gradients", lambda *_: [torch.ones(2)])
    monkeypatch.setattr(budget, "_MOST_KEPT", 1000)
    assert shared(loop()) == 1


def test_what_the_generator_keeps_is_counted():
    made = loop()
    start = best_of(made.evaluator, 1)
    kept = budget._kept_bytes(made.evaluator, start)
    assert kept >= start["pixels"][0].numel() * 4


def test_no_random_number_is_used_and_the_latents_stay():
    made = loop()
    start = best_of(made.evaluator, 1)
    before = {name: value.clone() for name, value in start.items()}
    states = [candidate.rng.get_state() for candidate in made.evaluator.candidates]
    shared(made, start)
    for candidate, state in zip(made.evaluator.candidates, states, strict=True):
        assert torch.equal(candidate.rng.get_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in start.items())


def test_shared_or_not_the_steps_are_the_same_but_for_rounding():
    plain, wide = loop().run(), loop(group=3).run()
    for one, other in zip(plain, wide, strict=True):
        torch.testing.assert_close(one.losses["total"], other.losses["total"], atol=1e-5, rtol=1e-4)

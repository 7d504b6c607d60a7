"""Choices that no gradient reaches: proposed, accepted or rejected by their loss."""

import torch

from guidegen.backend import GeneratorInfo
from guidegen.guidance.optimize import try_proposal_
from guidegen.interfaces import Preference
from guidegen.prompt.grammar import Phrase
from tests.helpers.loops import make_loop

RED, GREEN, BLUE = range(3)
WORDS = {RED: "1,0,0", GREEN: "0,1,0", BLUE: "0,0,1"}


class Colours:
    """Plain pictures: the colour is a choice, a little of each channel a latent."""

    info = GeneratorInfo("colours", "s", (16, 16), 16)
    size = (16, 16)
    vocabulary = None
    digest = ""

    def __init__(self, *proposals, start=BLUE):
        self.proposals, self.start, self.constrained = list(proposals), start, 0

    def init(self, batch, *, rngs, preference=None):
        return {"shade": torch.zeros(batch, 3), "colour": torch.full((batch,), self.start)}

    def decode(self, latents, *, size=None):
        colours = torch.eye(3)[latents["colour"]] * 0.8 + 0.1 + 0.1 * latents["shade"].tanh()
        return colours[:, :, None, None].expand(-1, -1, 16, 16)

    def constrain_(self, latents):
        self.constrained += 1

    def prior(self, latents):
        return torch.zeros(len(latents["colour"]))

    def propose(self, latents, *, rngs, preference):
        assert not any(value.requires_grad for value in latents.values())
        assert len(preference) == len(rngs) == len(latents["colour"])
        colours = self.proposals.pop(0)
        shades = latents["shade"] + 0.25
        return {"shade": shades, "colour": torch.tensor(colours)}


PREFERENCE = [Preference((Phrase("x"),), torch.zeros(1, 1))] * 2


def loop_of(generator, **settings):
    words = [WORDS[RED], WORDS[GREEN]]
    return make_loop(words, [1, 2], generator=generator, **settings)


def test_a_proposal_is_taken_where_its_loss_is_lower_and_there_alone():
    loop = loop_of(Colours([RED, RED]))
    latents = loop.evaluator.generator.init(2, rngs=[])
    latents["colour"] = torch.tensor([BLUE, GREEN])
    latents["shade"].requires_grad_()
    cutouts = loop.evaluator.sample_cutouts()
    assert try_proposal_(loop.evaluator, latents, cutouts, 0.0, PREFERENCE) == [0]
    assert latents["colour"].tolist() == [RED, GREEN]
    assert latents["shade"].tolist() == [[0.25] * 3, [0.0] * 3]
    assert latents["shade"].grad is None


def test_a_proposal_as_good_as_what_is_there_is_left():
    class Same(Colours):
        def propose(self, latents, *, rngs, preference):
            return {name: value.clone() for name, value in latents.items()}

    loop = loop_of(Same())
    latents = loop.evaluator.generator.init(2, rngs=[])
    cutouts = loop.evaluator.sample_cutouts()
    assert try_proposal_(loop.evaluator, latents, cutouts, 0.0, PREFERENCE) == []


def test_the_loss_that_counts_is_that_of_the_moment():
    # a term that does not count yet decides nothing
    loop = loop_of(Colours([RED, GREEN], [RED, GREEN]), losses=["clip=1:0.5:1"])
    latents = loop.evaluator.generator.init(2, rngs=[])
    cutouts = loop.evaluator.sample_cutouts()
    assert try_proposal_(loop.evaluator, latents, cutouts, 0.2, PREFERENCE) == []
    assert try_proposal_(loop.evaluator, latents, cutouts, 0.9, PREFERENCE) == [0, 1]


def test_generators_without_choices_are_asked_nothing():
    loop = make_loop([WORDS[RED]] * 2, [1, 2])
    start = loop.evaluator.generator.init(2, rngs=[c.rng for c in loop.evaluator.candidates])
    before = start["pixels"].clone()
    assert (
        try_proposal_(loop.evaluator, start, loop.evaluator.sample_cutouts(), 0, PREFERENCE) == []
    )
    assert torch.equal(start["pixels"], before)


def moments(step):
    return step.snapshot().optimizer.moments["shade"]["exp_avg"]


def test_in_the_loop_what_is_taken_is_kept_and_its_moments_are_forgotten():
    keep = [BLUE, BLUE]
    generator = Colours([RED, BLUE], keep)
    loop = loop_of(generator, steps=6, lr=0.01, propose_every=3)
    colours, kept = [], []
    for step in loop.steps(preference=PREFERENCE):
        colours.append(step.latents["colour"].tolist())
        if step.index == 1:
            kept = moments(step)
    assert colours[0] == [BLUE, BLUE]
    assert colours[1:] == [[RED, BLUE]] * 6
    assert (kept[0] == 0).all()
    assert (kept[1] != 0).all()
    assert generator.proposals == []  # asked after steps 0 and 3; from two thirds on no more
    assert generator.constrained == 6 + 1


def test_in_the_loop_what_is_rejected_leaves_latents_and_moments():
    words = [WORDS[RED], WORDS[RED]]
    worse = [[BLUE, GREEN], [GREEN, BLUE]]
    generator = Colours(*worse, start=RED)
    tried = make_loop(words, [1, 2], generator=generator, steps=6, lr=0.01)
    plain = make_loop(words, [1, 2], generator=Colours(start=RED), steps=6, lr=0.01)
    both = zip(tried.steps(preference=PREFERENCE), plain.steps(), strict=True)
    for step, alone in both:
        assert step.latents["colour"].tolist() == [RED, RED]
        assert torch.equal(step.latents["shade"], alone.latents["shade"])
        if step.index == 1:
            assert (moments(step) != 0).all()
    assert generator.proposals == []


def test_without_a_preference_nothing_is_proposed():
    (*_, last) = loop_of(Colours(), steps=3).steps()
    assert last.latents["colour"].tolist() == [BLUE, BLUE]

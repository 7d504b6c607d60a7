"""Losses of latents and their gradients, in micro-batches and groups."""

import pytest
import torch

from guidegen.clip.perceptor import Ensemble
from guidegen.errors import OptimizationError
from guidegen.guidance.budget import is_out_of_memory
from guidegen.guidance.starts.search import best_of
from tests.helpers.fakes import TinyPerceptor
from tests.helpers.loops import make_loop, run


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_cutout_micro_batches_change_nothing_but_rounding(batch):
    whole = run(make_loop(["0.9,0.5,0.1"], [4], batch=8))
    parts = run(make_loop(["0.9,0.5,0.1"], [4], batch=batch))
    assert torch.allclose(whole[0].losses["total"], parts[0].losses["total"], atol=1e-6)
    assert (whole[-1].images - parts[-1].images).abs().max() < 2 / 255


def test_micro_batched_gradient_is_the_whole_gradient():
    grads = []
    for batch in (1, 8):
        loop = make_loop(["0.9,0.5,0.1"], [4], batch=batch)
        latents = {"pixels": best_of(loop.evaluator, 1)["pixels"].requires_grad_()}
        loop.evaluator.evaluate(latents, loop.evaluator.sample_cutouts(), range(1), backward=True)
        grads.append(latents["pixels"].grad)
    assert torch.allclose(*grads, atol=1e-7)
    assert grads[0].abs().max() > 0


class Small(TinyPerceptor):
    """Has memory for few views at once."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def encode_image(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().encode_image(images)


def test_out_of_memory_halves_the_micro_batch_and_repeats_the_step(caplog):
    words = ["0.9,0.5,0.1"]
    plain = run(make_loop(words, [4]))
    loop = make_loop(words, [4]).but(perceptors=Ensemble(((Small(3), 1.0),)))
    small = run(loop)
    assert loop.evaluator.budget.views == 2
    assert "going on with 2 cutouts at a time" in caplog.text
    assert torch.allclose(small[-1].images, plain[-1].images, atol=1e-4)


def test_out_of_memory_with_one_cutout_is_said():
    loop = make_loop(["0.9,0.5,0.1"], [4]).but(perceptors=Ensemble(((Small(0), 1.0),)))
    with pytest.raises(OptimizationError, match="even with one cutout"):
        run(loop)


class Narrow:
    """A generator with memory for few pictures at once."""

    def __init__(self, generator, most):
        self.generator, self.most = generator, most

    def __getattr__(self, name):
        return getattr(self.generator, name)

    def decode(self, latents, *, size=None):
        if len(latents["pixels"]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.generator.decode(latents, size=size)


def test_out_of_memory_in_the_generator_halves_the_group(caplog):
    words = ["0.9,0.5,0.1", "0.1,0.5,0.9", "0.5,0.5,0.1", "0.1,0.9,0.9", "0.1,0.2,0.3"]
    plain = run(make_loop(words, range(5), group=5))
    loop = make_loop(words, range(5), group=5)
    loop = loop.but(generator=Narrow(loop.evaluator.generator, 2))
    small = run(loop)
    assert loop.evaluator.budget.group == 2
    assert "going on with 2 pictures at a time" in caplog.text
    assert torch.allclose(small[-1].images, plain[-1].images, atol=1e-4)


def test_out_of_memory_with_one_picture_is_said():
    loop = make_loop(["0.9,0.5,0.1"], [4])
    start = best_of(loop.evaluator, 1)
    loop = loop.but(generator=Narrow(loop.evaluator.generator, 0))
    with pytest.raises(OptimizationError, match="even with one picture"):
        loop.run(start)


def gradient(loop, progress=0.0):
    """Losses and the gradient at the pixels of a fixed start."""
    evaluator = loop.evaluator
    count = len(evaluator.candidates)
    start = torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    latents = {"pixels": start.requires_grad_()}
    cutouts = evaluator.sample_cutouts()
    _, losses = evaluator.evaluate_all(latents, cutouts, progress, backward=True)
    return losses, latents["pixels"].grad


class Second(TinyPerceptor):
    """Another space."""

    name = "second"

    def __init__(self):
        super().__init__()
        self.mix = self.mix.roll(1, 0) * torch.linspace(0.5, 2, 12)


def test_the_gradient_is_that_of_all_terms_together():
    words = ["0.9,0.5,0.1", "0.1,0.5,0.9"]
    alone = {"clip": ["clip=2"], "tv": ["clip=0", "tv=3"], "none": ["clip=0"]}
    found = {name: gradient(make_loop(words, [1, 2], losses=text)) for name, text in alone.items()}
    losses, grad = gradient(make_loop(words, [1, 2], losses=["clip=2", "tv=3"]))
    assert torch.allclose(grad, found["clip"][1] + found["tv"][1], atol=1e-7)
    assert torch.allclose(losses["clip"], found["clip"][0]["clip"])
    assert torch.allclose(losses["tv"], found["tv"][0]["tv"])
    assert torch.allclose(losses["total"], losses["clip"] + losses["tv"])
    assert (found["none"][1] == 0).all()
    assert found["none"][0]["total"].tolist() == [0, 0]


def test_where_no_term_asks_for_views_clip_sees_none():
    loop = make_loop(["0.9,0.5,0.1"], [1], losses=["clip=1:0.5:1", "tv=1"])
    ((perceptor, _),) = loop.evaluator.perceptors
    losses, _ = gradient(loop, 0.25)
    assert perceptor.looks == 0
    assert list(losses) == ["total", "clip", "prior", "tv"]
    assert losses["clip"].tolist() == [0]
    gradient(loop, 0.75)
    assert perceptor.looks == 8


def test_an_ensemble_is_the_weighted_mean_of_its_parts():
    words = ["0.9,0.5,0.1", "0.1,0.5,0.9"]
    parts = [TinyPerceptor(), Second()]
    one, two = (gradient(make_loop(words, [1, 2], perceptors=((p, 1.0),))) for p in parts)
    both = gradient(make_loop(words, [1, 2], perceptors=((parts[0], 0.75), (parts[1], 0.25))))
    wanted = 0.75 * one[0]["clip"] + 0.25 * two[0]["clip"]
    assert torch.allclose(both[0]["clip"], wanted, atol=1e-6)
    assert torch.allclose(both[1], 0.75 * one[1] + 0.25 * two[1], atol=1e-6)
    assert (one[0]["clip"] - two[0]["clip"]).abs().min() > 1e-3


def test_every_candidates_loss_is_the_mean_over_its_own_views():
    words = ["0.9,0.5,0.1", "0.1,0.5,0.9", "0.5,0.9,0.5"]
    together, _ = gradient(make_loop(words, [1, 2, 3], batch=5, group=3))
    for b in range(3):
        loop = make_loop(words, [1, 2, 3]).evaluator
        start = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))
        cutouts, span = loop.sample_cutouts(), slice(b, b + 1)
        rows = {"pixels": start[span]}
        _, alone = loop.evaluate(rows, cutouts.rows(span), range(b, b + 1), backward=False)
        assert torch.allclose(alone["clip"][0], together["clip"][b], atol=1e-6)


def test_memory_for_one_view_and_for_one_picture_is_enough():
    loop = make_loop(["0.9,0.5,0.1"] * 2, [4, 5], group=2, steps=1)
    loop = loop.but(perceptors=Ensemble(((Small(1), 1.0),)))
    loop.but(generator=Narrow(loop.evaluator.generator, 1)).run()
    assert (loop.evaluator.budget.views, loop.evaluator.budget.group) == (1, 1)


def test_without_backward_there_is_no_gradient():
    loop = make_loop(["0.9,0.5,0.1"], [1]).evaluator
    latents = {"pixels": torch.rand(1, 3, 24, 24).requires_grad_()}
    images, losses = loop.evaluate_all(latents, loop.sample_cutouts(), 0.0, backward=False)
    assert latents["pixels"].grad is None
    assert not images.requires_grad
    assert not any(loss.requires_grad for loss in losses.values())


def test_cutouts_of_some_candidates_are_those_that_they_have_among_all():
    words, seeds = ["0.9,0.5,0.1", "0.1,0.5,0.9"], [1, 2]
    everyone = make_loop(words, seeds).evaluator.sample_cutouts()
    second = make_loop(words, seeds).evaluator.sample_cutouts(range(1, 2))
    assert torch.equal(everyone.warp[1:], second.warp)
    among_all, alone = (one.noise[-1].of(slice(0, 8)) for one in (everyone, second))
    assert torch.equal(among_all, alone)
    assert alone.shape == (8, 3, 16, 16)


def test_the_groups_hold_every_candidate_once():
    loop = make_loop(["0.9,0.5,0.1"] * 5, range(5), group=2).evaluator
    assert list(loop.groups()) == [range(2), range(2, 4), range(4, 5)]


def test_only_errors_about_memory_are_taken_for_such():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


class Broken(TinyPerceptor):
    def encode_image(self, images):
        raise RuntimeError("shapes differ")


def test_other_errors_pass_through():
    loop = make_loop(["0.9,0.5,0.1"], [4]).but(perceptors=Ensemble(((Broken(), 1.0),)))
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(loop)
    assert (loop.evaluator.budget.views, loop.evaluator.budget.group) == (32, 1)

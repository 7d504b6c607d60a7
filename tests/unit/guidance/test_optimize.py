import pytest
import torch

from guidegen.clip.perceptor import Ensemble
from guidegen.errors import OptimizationError
from guidegen.guidance.search import best_of
from tests.helpers.fakes import TinyPerceptor
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
    loop = make_loop(["0.9,0.2,0.2:1:0.5"], [3], steps=25)
    steps = run(loop)
    free = run(make_loop(["0.9,0.2,0.2"], [3], steps=25))
    assert steps[-1].losses["total"] > free[-1].losses["total"]
    assert steps[-1].losses["total"] < 0.55


def test_steps_are_consistent_and_keep_their_state():
    loop = make_loop(["0.1,0.9,0.1"], [5])
    steps = run(loop)
    for step in steps[::8]:
        assert torch.equal(loop.evaluator.generator.decode(step.latents), step.images)
        assert not step.images.requires_grad
    assert not torch.equal(steps[0].latents["pixels"], steps[-1].latents["pixels"])


def test_same_seed_same_pixels_twice_and_among_others():
    alone = run(make_loop(["0.2,0.9,0.3"], [11]))[-1].images[0]
    again = run(make_loop(["0.2,0.9,0.3"], [11]))[-1].images[0]
    texts = ["0.9,0.1,0.1", "a cat", "0.2,0.9,0.3", "0.5,0.5,0.9"] * 2
    together = run(make_loop(texts, [1, 2, 11, 4, 5, 6, 7, 8]))[-1].images[2]
    assert torch.equal(alone, again)
    torch.testing.assert_close(alone, together, atol=1e-3, rtol=0)


def test_candidates_in_one_group_agree_with_candidates_one_by_one():
    texts, seeds = ["0.9,0.1,0.1", "0.2,0.9,0.3", "a cat"], [1, 2, 3]
    single = run(make_loop(texts, seeds))[-1].images
    grouped = run(make_loop(texts, seeds, group=3))[-1].images
    assert (single - grouped).abs().max() < 2 / 255


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


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step():
    loop = make_loop(["0.9,0.5,0.1"], [4])
    loop.context.targets["tiny"][0].weights.fill_(float("nan"))
    with pytest.raises(OptimizationError, match="candidate 0 is not finite at step 0"):
        run(loop)


def test_zero_steps_yield_the_start():
    (step,) = run(make_loop(["0.9,0.5,0.1"], [4], steps=0))
    assert step.index == step.total == 0


def test_more_starts_give_a_better_start():
    def first_loss(starts):
        losses = []
        for seed in range(6):
            loop = make_loop(["0.9,0.5,0.1"], [seed], steps=0)
            start = best_of(loop.evaluator, starts)
            losses.append(next(loop.steps(start)).losses["total"])
        return torch.cat(losses).mean()

    assert first_loss(12) < first_loss(1)


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

"""The weight of staying near the start."""

import pytest
import torch

from guidegen.config import make_config
from guidegen.engine import generate as engine
from guidegen.guidance.losses.near_start import mean_square
from tests.helpers.loops import make_loop
from tests.helpers.tiny_clip import make_tiny_clip

WORDS = ["0.9,0.2,0.2", "0.1,0.5,0.9"]


def held(weight, **settings):
    return make_loop(WORDS, [3, 4], init=weight, **settings)


def run(loop, start=None, **options):
    return loop.run(start, **options)


def away(steps):
    return mean_square(steps[-1].latents, steps[0].latents)


def test_mean_square_is_over_all_floating_latents():
    latents = {"a": torch.ones(2, 3), "b": torch.zeros(2, 1, 1), "choice": torch.ones(2).long()}
    start = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 1, 1), "choice": torch.zeros(2).long()}
    assert torch.allclose(mean_square(latents, start), torch.tensor([0.75, 0.75]))


@pytest.mark.slow
def test_it_pulls_to_the_start_and_not_to_zero():
    free, near, tied = (run(held(weight, steps=8)) for weight in (0.0, 10.0, 1000.0))
    assert (away(tied) < away(near)).all()
    assert (away(near) < away(free)).all()
    assert away(tied).max() < 0.05 * away(free).min()
    size = tied[-1].latents["pixels"].square().mean() / tied[0].latents["pixels"].square().mean()
    assert abs(size - 1) < 0.2


def test_it_is_a_loss_of_its_own_name():
    steps = run(held(10.0))
    assert "init" not in run(held(0.0))[-1].losses
    for step in steps:
        wanted = 10.0 * mean_square(step.latents, steps[0].latents)
        assert torch.allclose(step.losses["init"], wanted, atol=1e-7)
        parts = step.losses["clip"] + step.losses["prior"] + step.losses["init"]
        assert torch.allclose(step.losses["total"], parts)


def test_alone_and_together_it_pulls_alike():
    together = run(held(10.0))[-1].latents["pixels"][1]
    alone = run(make_loop(WORDS[1:], [4], init=10.0))[-1]
    torch.testing.assert_close(alone.latents["pixels"][0], together, atol=1e-3, rtol=0)


def test_going_on_keeps_pulling_to_the_first_start():
    whole, state = [], None
    for step in held(10.0, steps=8).steps():
        whole.append(step)
        if step.index == 5:
            state = step.snapshot()
    assert torch.equal(state.losses["init"]["pixels"], whole[0].latents["pixels"])
    rest = run(held(10.0, steps=8), dict(state.latents), resume=state)
    assert rest[0].index == 5
    assert torch.equal(rest[-1].latents["pixels"], whole[-1].latents["pixels"])


def test_a_loop_that_is_not_held_keeps_no_start():
    (step, _) = run(held(0.0, steps=1))
    assert step.snapshot().losses == {}


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["pixels", "collage"])
def test_from_the_command_down_to_the_loss(tmp_path, generator):
    clip = make_tiny_clip(tmp_path / "clip")
    fields = {"prompt": "a cat", "perceptor": f"local-dir:{clip}", "generator": generator}
    fields |= {"size": 64, "steps": 3, "cutouts": 2, "starts": 1, "init_weight": 5.0}
    seen = []

    class Watcher:
        def __call__(self, step):
            seen.append(float(step.losses["init"][0]))

        def close(self):
            pass

    list(engine.generate([make_config(fields)], recorders=lambda _: [Watcher()], write=False))
    assert seen[0] == 0
    assert seen[-1] > 0

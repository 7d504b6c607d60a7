"""CMA-ES finds what a gradient from one start does not."""

import cmaes
import numpy as np
import pytest
import torch

from guidegen.backend import GeneratorInfo
from guidegen.cutouts import CutoutSettings
from guidegen.errors import ConfigError
from guidegen.guidance.starts.evolution import evolve
from guidegen.guidance.starts.search import draw
from tests.helpers.loops import make_loop


class Basins:
    """Pictures of one colour; its red has many valleys, of which one is deep.

    The colour of z is its height in Rastrigin's function: the lowest lies at z = planted.
    """

    info = GeneratorInfo(name="basins", summary="s", sizes=(16, 16), default_size=16)
    size, digest, vocabulary = (16, 16), "", None
    planted = torch.tensor([1.0, -1.0])

    def init(self, batch, *, rngs, preference=None):
        z = [2 * torch.randn(2, generator=rng) for rng in rngs[:batch]]
        return {"z": torch.stack(z)}

    def height(self, z):
        x = z - self.planted
        return (x.square() + 3 * (1 - torch.cos(torch.pi * x))).sum(1)

    def decode(self, latents, *, size=None):
        red = 0.9 * torch.exp(-0.1 * self.height(latents["z"]))
        colour = torch.stack([red, 0.5 - 0 * red, 0.5 - 0 * red], 1)
        return colour[..., None, None].expand(-1, 3, 16, 16)

    def constrain_(self, latents):
        latents["z"].data.clamp_(-8, 8)

    def prior(self, latents):
        return torch.zeros(len(latents["z"]))


def make(seed, generator=None, **settings):
    cutouts = CutoutSettings(count=1, noise=0.0, jitter=0.0)
    generator = generator or Basins()
    return make_loop(["0.9,0.5,0.5"], [seed], generator=generator, cutouts=cutouts, **settings)


def found(latents):
    return float(Basins().height(latents["z"])) < 0.5


@pytest.mark.slow
def test_evolution_finds_the_planted_optimum_and_is_repeatable():
    loop = make(3)
    start = draw(loop.evaluator, 0, 1)
    assert not found(start)
    evolved = evolve(loop.evaluator, start, generations=20, population=16)
    assert found(evolved)
    again = make(3)
    draw(again.evaluator, 0, 1)
    assert torch.equal(
        evolve(again.evaluator, start, generations=20, population=16)["z"], evolved["z"]
    )


def test_the_first_generation_is_that_of_cma_es(monkeypatch):
    """Trials lie at start + spread * x, for x of the package's own strategy of the same seed."""
    loop = make(7)
    seen = []
    whole = Basins.decode

    def decode(self, latents, *, size=None):
        seen.append(latents["z"].detach().clone())
        return whole(self, latents, size=size)

    start = draw(loop.evaluator, 0, 1)
    drawn = draw(make(7).evaluator, 0, 9)["z"][1:]
    monkeypatch.setattr(Basins, "decode", decode)
    evolve(loop.evaluator, start, generations=1, population=4)
    spread = float((drawn - drawn.mean(0)).square().mean().sqrt())
    strategy = cmaes.CMA(np.zeros(2), 0.5, seed=7, population_size=4)
    wanted = [start["z"] + spread * torch.from_numpy(strategy.ask()).float() for _ in range(4)]
    for mine, theirs in zip(seen, wanted, strict=False):
        assert torch.allclose(mine, theirs.clamp(-8, 8), atol=1e-5)


def test_within_a_trial_the_gradient_goes_down():
    loop = make(5)
    start = draw(loop.evaluator, 0, 1)

    def height(steps):
        evolved = evolve(
            make(5).evaluator, start, generations=2, population=4, inner_steps=steps, lr=0.05
        )
        return float(Basins().height(evolved["z"]))

    assert height(10) < height(0)


def test_it_is_never_worse_than_the_start_and_leaves_choices_alone():
    loop = make(5)
    best = {"z": Basins.planted[None].clone(), "choice": torch.tensor([3])}
    evolved = evolve(loop.evaluator, best, generations=2, population=4)
    assert torch.equal(evolved["z"], best["z"])
    assert evolved["choice"].tolist() == [3]


def test_too_many_numbers_are_refused():
    loop = make_loop(["1,0,0"], [1])
    with pytest.raises(ConfigError, match="has 200,000 numbers") as caught:
        evolve(loop.evaluator, {"z": torch.zeros(1, 200_000)}, generations=1)
    assert caught.value.field == "evolve"

"""VQGAN's latents as a sum of grids of several scales."""

import pytest
import torch

from guidegen.registry import backends

SIZE = (64, 96)


@pytest.fixture(scope="module")
def model():
    def load(*options):
        backend = backends()["vqgan"]
        read = backend.info("embedded").read_options(options)
        return backend.load("embedded", size=SIZE, device="cpu", precision="fp32", options=read)

    return load


@pytest.fixture(scope="module")
def scaled(model):
    return model("scales=3", "start=smooth")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_grid_has_half_the_sides_of_the_one_before(scaled):
    latents = scaled.init(2, rngs=[rng(1), rng(2)])
    assert {name: tuple(z.shape) for name, z in latents.items()} == {
        "z": (2, 32, 8, 12), "z-2": (2, 32, 4, 6), "z-4": (2, 32, 2, 3)
    }  # fmt: skip


def test_an_encoded_picture_is_the_same_with_any_number_of_grids(model, scaled):
    picture = torch.rand(1, 3, *SIZE, generator=rng())
    one = model()
    assert torch.equal(one.decode(one.encode(picture)), scaled.decode(scaled.encode(picture)))


def test_a_coarse_grid_moves_neighbouring_codes_together(scaled):
    latents = scaled.init(1, rngs=[rng()])
    before = scaled.scales.total(latents)
    latents["z-4"][..., 0, 0] += 1
    moved = (scaled.scales.total(latents) - before).abs().mean((0, 1))
    assert moved[:4, :4].min() > 0.3
    assert moved[-2:].max() < 0.2


def test_of_several_grids_it_is_the_sum_that_keeps_within_the_codebook(scaled):
    latents = scaled.init(1, rngs=[rng()])
    latents["z-2"] += 50 * torch.randn(latents["z-2"].shape, generator=rng())
    coarse = latents["z-2"].clone()
    scaled.constrain_(latents)
    low, high = scaled.codebook.amin(0), scaled.codebook.amax(0)
    total = scaled.scales.total(latents)[0].flatten(1).T
    assert torch.equal(latents["z-2"], coarse)
    assert (total >= low - 1e-4).all()
    assert (total <= high + 1e-4).all()


def test_smooth_codes_differ_little_from_their_neighbours(model, scaled):
    def roughness(generator):
        return generator.scales.total(generator.init(1, rngs=[rng()])).diff(dim=-1).abs().mean()

    assert roughness(scaled) < 0.5 * roughness(model("start=codes"))

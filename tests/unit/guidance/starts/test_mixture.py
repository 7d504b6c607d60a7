"""Mixtures of starts, against a few lines restated from the paper."""

import pytest
import torch

from generators import COLLAGE, PIXELS
from generators.biggan.generator import BigGAN
from guidegen.config import make_config
from guidegen.cutouts import FuseDreamCutouts
from guidegen.engine.resolve import check, resolve
from guidegen.errors import ConfigError
from guidegen.guidance.starts.mixture import Mixture, mix_best, noised
from guidegen.guidance.starts.search import draw, losses_of
from tests.helpers.loops import make_loop, steps_of
from tests.helpers.tiny_clip import make_tiny_clip

WORDS = ["0.9,0.2,0.2", "0.1,0.5,0.9"]


def pixels():
    return PIXELS.load("", size=(24, 24), device="cpu")


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_each_number_is_mixed_in_shares_of_its_own():
    mixture = Mixture(pixels(), 3)
    latents = mixture.init(2, rngs=rngs(1, 2))
    assert {name: tuple(value.shape) for name, value in latents.items()} == {
        "basis-pixels": (2, 3, 3, 24, 24), "share-pixels": (2, 3, 3, 24, 24)
    }  # fmt: skip
    # the paper's: s = softmax(w), z = sum of s_i z_i
    w, z = latents["share-pixels"][1], latents["basis-pixels"][1]
    shares = w.exp() / w.exp().sum(0)
    wanted = sum(shares[i] * z[i] for i in range(3))
    assert torch.allclose(mixture.mixed(latents)["pixels"][1], wanted, atol=1e-6)
    assert torch.allclose(mixture.decode(latents)[1], wanted.clamp(0, 1), atol=1e-6)


def test_a_gradient_reaches_the_basis_and_the_shares():
    mixture = Mixture(pixels(), 3)
    latents = {n: v.requires_grad_() for n, v in mixture.init(1, rngs=rngs(1)).items()}
    mixture.decode(latents).square().sum().backward()
    assert all((value.grad != 0).float().mean() > 0.9 for value in latents.values())


def test_each_of_the_basis_is_kept_where_the_generator_wants_it():
    mixture = Mixture(pixels(), 2)
    latents = mixture.init(1, rngs=rngs(1))
    latents["basis-pixels"][0, 1] = 3.0
    shares = latents["share-pixels"].clone()
    mixture.constrain_(latents)
    assert latents["basis-pixels"][0, 1].unique().tolist() == [1.0]
    assert torch.equal(latents["share-pixels"], shares)


def test_the_best_of_many_are_mixed():
    def loop():
        return make_loop(WORDS, [3, 4])

    mixture = Mixture(pixels(), 2)
    evaluator = loop().evaluator
    mixed = mix_best(mixture, evaluator, 6)
    again = loop().evaluator
    cutouts = again.sample_cutouts(range(1, 2))
    drawn = draw(again, 1, 6)
    best = losses_of(again, 1, drawn, cutouts).argsort()[:2]
    assert torch.equal(mixed["basis-pixels"][1], drawn["pixels"][best].clamp(0, 1))
    assert mixed["share-pixels"].std() == pytest.approx(1, abs=0.05)


def test_noise_is_that_of_what_is_mixed():
    mixture = Mixture(pixels(), 3)
    latents = mixture.init(2, rngs=rngs(1, 2))
    noisy = noised(latents, rngs(5, 6), 0.1)
    assert torch.equal(noisy["share-pixels"], latents["share-pixels"])
    away = mixture.mixed(noisy)["pixels"] - mixture.mixed(latents)["pixels"]
    assert away.std() == pytest.approx(0.1, rel=0.05)
    alone = noised({n: v[1:] for n, v in latents.items()}, rngs(6), 0.1)
    assert torch.equal(alone["basis-pixels"][0], noisy["basis-pixels"][1])


def test_choices_can_not_be_mixed():
    collage = COLLAGE.load("", size=(64, 64), device="cpu")
    with pytest.raises(ConfigError, match="collage makes choices") as caught:
        Mixture(collage, 2).init(1, rngs=rngs(1))
    assert caught.value.field == "mix"


def test_biggan_mixes_class_vectors_and_not_their_logits():
    yes, no = 4.0, -7.0
    basis = torch.full((1, 5, 2, 6), no)  # five starts of one class each, two blocks
    for start in range(5):
        basis[:, start, :, start] = yes
    shares = torch.full_like(basis, 1 / 5)
    mixed = BigGAN.mix(None, "class_logits", basis, shares).sigmoid()
    assert mixed[0, 0, :5].tolist() == pytest.approx([0.2] * 5, abs=0.01)
    assert mixed[0, 0, 5] < 0.01
    z = torch.rand(1, 5, 2, 3)
    assert torch.allclose(BigGAN.mix(None, "z", z, torch.full_like(z, 1 / 5)), z.mean(1))


def test_views_are_augmented_as_published():
    cutouts = FuseDreamCutouts(count=400)
    parameters = cutouts.sample(rngs=rngs(0), size=16)
    light, grey, contrast = parameters.colour[0].unbind(1)
    for values, low, high in (
        (light, -0.25, 0.25), (grey, 0, 2), (contrast, 0.5, 1.5), (parameters.scale, 0.8, 1.2),
        (parameters.shift, -0.125, 0.125), (parameters.erased, 0, 1),
    ):  # fmt: skip
        assert low <= values.min() < values.max() <= high
        assert values.max() - values.min() > 0.95 * (high - low)
    image = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    views = cutouts.take(image, parameters, size=16)
    assert views.shape == (400, 3, 16, 16)
    part = cutouts.take(image, parameters, size=16, chunk=slice(7, 9))
    assert torch.allclose(part, views[7:9], atol=1e-6)


def test_a_view_by_hand():
    cutouts = FuseDreamCutouts(count=1)
    parameters = cutouts.sample(rngs=rngs(0), size=16)
    parameters.colour[:] = torch.tensor([0.1, 0.0, 1.0])  # lighter and grey
    parameters.scale[:] = 1.0
    parameters.shift[:] = torch.tensor([0.25, 0.0])  # a quarter to the right
    parameters.erased[:] = torch.tensor([1.0, 1.0])  # the lower right corner
    image = torch.tensor([0.9, 0.3, 0.3]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    view = cutouts.take(image, parameters, size=16)[0]
    assert view[:, :8, 5:].unique().tolist() == pytest.approx([0.6], abs=1e-4)
    assert view[:, :, :4].unique().tolist() == pytest.approx([0.5], abs=1e-4)  # came from outside
    assert view[:, 12:, 12:].unique().tolist() == pytest.approx([0.5], abs=1e-4)


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    clip = make_tiny_clip(tmp_path_factory.mktemp("clip"))
    return {"prompt": "a cat", "perceptor": f"local-dir:{clip}", "generator": "pixels", "size": 32}


@pytest.mark.slow
def test_a_mixing_run_that_goes_on_ends_as_if_it_had_never_stopped(fields):
    resolved = resolve(
        make_config(
            fields | {"mix": 2, "starts": 3, "latent_noise": 0.05, "steps": 4, "lr": 0.1}
            | {"cutout_method": "fusedream", "cutouts": 2}
        )
    )  # fmt: skip
    steps = steps_of(resolved)
    states, last = {}, None
    for last in steps():
        states[last.index] = last.snapshot()
    again = list(steps(states[2]))[-1]
    assert torch.equal(last.images, again.images)
    assert set(last.latents) == {"basis-pixels", "share-pixels"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"mix": 2, "pick": 1}, "mix"),
        ({"evolve": 2, "pick": 1}, "evolve"),
        ({"mix": 2, "zoom": 1.1}, "mix"),
        ({"mix": 2, "evolve": 3}, "mix"),
        ({"population": 3}, "population"),
        ({"evolve_steps": 3}, "evolve_steps"),
        ({"cutout_method": "fusedream", "cutout_noise": 0.1}, "cutout_noise"),
    ],
)
def test_what_contradicts_is_refused(fields, settings, field):
    with pytest.raises(ConfigError) as caught:
        check([make_config(fields | settings)])
    assert caught.value.field == field

"""A predictor on disk: what it gives, whom it fits, and how it says that it is broken."""

import json
import re
from dataclasses import replace

import pytest
import torch

from generators import PIXELS, PYRAMID
from guidegen.errors import WeightsError
from guidegen.guidance.starts.predictor import (
    NetworkSizes,
    Predictor,
    PredictorCard,
    PredictorNetwork,
    read_card,
    save_predictor,
    shapes_of,
    telltale_of,
)
from tests.helpers.fakes import TinyPerceptor

SIZES = NetworkSizes(embedding=12, noise=4, width=16, channels=16, rank=8)


def make_predictor(folder, *, generator=PYRAMID, finest=8, perceptor=None):
    """A small one with random weights, for a generator at 32 px."""
    perceptor = perceptor or TinyPerceptor()
    telltale = telltale_of(perceptor)
    sizes = replace(SIZES, embedding=len(telltale))
    drawer = generator.load("", size=(32, 32), device="cpu")
    latents = shapes_of(drawer)
    predicted = tuple(name for name, shape in latents.items() if max(shape[1:]) <= finest)
    card = PredictorCard(
        generator=drawer.info.name, option=(), size=(32, 32), weights=drawer.digest,
        perceptor=perceptor.name, latents=latents, network=sizes, predicted=predicted,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PredictorNetwork(sizes, {name: latents[name] for name in predicted})
        for head in network.heads:
            torch.nn.init.normal_(head.weight, std=0.5)
    save_predictor(folder, card, network.state_dict(), telltale, step=7)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_predictor(tmp_path / "predictor")


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_only_grids_up_to_a_side_are_predicted_each_in_its_shape(folder):
    found = Predictor.load(folder)(torch.eye(12)[:2], rngs(1, 2))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        f"layer-{side}": (2, 3, side, side) for side in (1, 2, 4, 8)
    }


def test_seeds_and_texts_make_starts_differ_and_neighbours_do_not(folder):
    predictor = Predictor.load(folder)
    text, other = torch.eye(12)[:2]
    first, noisy, told, again = (
        predictor(torch.stack([who]), rngs(seed))["layer-8"]
        for who, seed in ((text, 1), (text, 2), (other, 1), (text, 1))
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, noisy, atol=1e-3)
    assert not torch.allclose(first, told, atol=1e-3)
    together = predictor(torch.stack([other, text]), rngs(1, 1))["layer-8"]
    assert torch.equal(together, torch.cat([told, first]))


def test_a_latent_that_is_no_grid_and_a_grid_that_is_not_square_are_predicted_too():
    shapes = {"z": (8,), "wide": (2, 3, 6), "matrix": (2, 2, 2, 2)}
    network = PredictorNetwork(SIZES, shapes)
    starts = {name: 5 + 2 * torch.randn(64, *shape) for name, shape in shapes.items()}
    network.calibrate(torch.randn(64, 12) + 3, starts)
    found = network(torch.randn(3, 12) + 3, torch.randn(3, 4))
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == shapes
    for value in found.values():  # before it has learnt, about where the generator starts
        assert float(value.detach().mean()) == pytest.approx(5, abs=0.7)


def test_the_linear_part_fits_what_is_linear_and_ignores_what_is_noise():
    rng = torch.Generator().manual_seed(0)
    texts = torch.randn(300, 12, generator=rng)
    shapes = {"z": (3,), "grid": (2, 4, 4)}
    network = PredictorNetwork(replace(SIZES, rank=6), shapes)

    def examples(noise):
        linear = (texts @ torch.randn(12, 5, generator=rng)) @ torch.randn(5, 35, generator=rng)
        whole = 4 + (1 - noise) * linear + noise * torch.randn(300, 35, generator=rng)
        return {"z": whole[:, :3], "grid": whole[:, 3:].view(-1, 2, 4, 4)}

    latents = examples(noise=0)
    network.calibrate(texts, latents)
    assert network.fit(texts, latents) > 0.999
    straight = network.out_of(network.into(network.scaled(texts))).detach()
    centre, spread = network.get_buffer("centre0"), network.get_buffer("spread0")
    torch.testing.assert_close(centre + spread * straight[:, :3], latents["z"], atol=0.1, rtol=0)
    assert abs(network.fit(texts, examples(noise=1))) < 0.1


def test_it_reads_the_clip_of_its_training_and_no_other(folder):
    predictor, other = Predictor.load(folder), TinyPerceptor()
    assert predictor.reads(other)
    other.mix = other.mix.roll(1, 0)
    assert not predictor.reads(other)
    other.encode_text = lambda texts: torch.ones(len(texts), 5)
    assert not predictor.reads(other)


def test_latents_mean_the_same_to_the_same_generator_options_and_canvas_only(folder):
    card = read_card(folder)

    def fits(backend=PYRAMID, size=(32, 32), option=()):
        options = backend.info("").read_options(option)
        generator = backend.load("", size=size, device="cpu", options=options)
        return card.draws_like(generator, option)

    assert fits()
    assert fits(option=("saturation=1",))  # which is the default
    assert not fits(option=("saturation=2",))
    assert not fits(size=(64, 64))
    assert not fits(size=(32, 64))
    assert not fits(backend=PIXELS)


def edited(folder, change):
    path = folder / "config.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "is damaged"),
        (lambda f: (f / "config.json").write_text("[]"), "is damaged"),
        (lambda f: edited(f, lambda told: told.pop("latents")), "is damaged .*latents"),
        (lambda f: edited(f, lambda told: told["network"].update(width=10**9)), "from 1 to 4096"),
        (lambda f: edited(f, lambda told: told["network"].update(width=17)), "is damaged"),
        (lambda f: edited(f, lambda told: told.update(predicted=["nothing"])), "is damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "SHA-256"),
    ],
)  # fmt: skip
def test_one_that_is_missing_or_damaged_is_refused_in_one_line(folder, harm, why):
    harm(folder)
    with pytest.raises(WeightsError, match=why) as caught:
        Predictor.load(folder)
    assert "\n" not in str(caught.value)
    assert re.search("training predictor$", str(caught.value))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="there is no folder"):
        read_card(tmp_path / "nowhere")

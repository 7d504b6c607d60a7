"""Starts that a network predicts from the prompt."""

import numpy as np
import pytest
import torch

from generators import LINES, PIXELS, PYRAMID
from guidegen.clip.perceptor import Ensemble, load_perceptor
from guidegen.config import make_config
from guidegen.engine.begin.predicted import (
    PredictedStart,
    check_predictor,
    embedding_of,
    load_fitting,
    on_canvas,
    wishes,
)
from guidegen.engine.begin.starts import draw_starts
from guidegen.engine.generate import generate
from guidegen.engine.models import open_session
from guidegen.engine.resolve import check, resolve
from guidegen.errors import ConfigError, WeightsError
from guidegen.interfaces import Preference, Target
from tests.helpers.fakes import TinyPerceptor
from tests.helpers.tiny_clip import make_tiny_clip
from tests.unit.guidance.starts.predictor.test_predictor import make_predictor

ENSEMBLE = Ensemble(((TinyPerceptor(), 1.0),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_predictor(tmp_path_factory.mktemp("predictor"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of a run with a CLIP of its own and a predictor for that."""
    clip = f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'))}"
    folder = tmp_path_factory.mktemp("of-clip")
    make_predictor(folder, perceptor=load_perceptor(clip, device="cpu", precision="fp32"))
    return {
        "generator": "pyramid", "perceptor": (clip,), "size": "32", "cutouts": 2, "steps": 0,
        "start_from": f"predicted:{folder}", "precision": "fp32",
    }  # fmt: skip


def drawn(settings, **fields):
    (picture,) = generate(
        [make_config({"prompt": "a red apple", **settings, **fields})], write=False
    )
    return np.asarray(picture.image).astype(int)


@pytest.mark.slow
def test_without_steps_the_prediction_is_the_picture(settings):
    first, again, seed, words = (
        drawn(settings, **fields) for fields in ({}, {}, {"seed": 1}, {"prompt": "fire"})
    )
    assert np.array_equal(first, again)
    assert abs(first - seed).max() > 2
    assert abs(first - words).max() > 2
    plain = drawn(settings, start_from="none")
    assert abs(first - plain).max() > 20


@pytest.mark.slow
def test_candidates_of_a_batch_start_as_they_do_alone(settings):
    configs = [make_config({"prompt": prompt, **settings}) for prompt in ("a red apple", "fire")]
    together = generate(configs, write=False)
    for config, picture in zip(configs, together, strict=True):
        alone = drawn(settings, prompt=config.prompt)
        assert np.array_equal(np.asarray(picture.image), alone)


def test_the_starts_to_choose_from_are_predictions_that_differ(settings):
    config = make_config({"prompt": "a red apple", **settings})
    found = list(draw_starts(config, 2))
    first, second = (np.asarray(start.image).astype(int) for start in found)
    assert abs(first - second).max() > 2
    assert np.array_equal(second, drawn(settings, pick=2))


def test_another_predictor_makes_another_run(settings, folder):
    one, other = (
        make_config({"prompt": "x", **settings, "start_from": start})
        for start in (settings["start_from"], f"predicted:{folder}")
    )
    # wherever it lies; its weights are told apart by their digest
    assert one.digest({"predictor": "1"}) == other.digest({"predictor": "1"})
    assert one.digest({"predictor": "1"}) != other.digest({"predictor": "2"})
    assert "predictor" in open_session(resolve(one)).digests


def loaded(folder, backend, size, option=()):
    options = backend.info("").read_options(option)
    generator = backend.load("", size=size, device="cpu", options=options)
    return generator, load_fitting(str(folder), generator, option, ENSEMBLE, "cpu")


def start(folder, backend=PYRAMID, size=(32, 32), option=(), seed=3):
    generator, fitting = loaded(folder, backend, size, option)
    wish = Preference((), torch.zeros(0, 0), embedding=torch.eye(12)[0])
    rng = torch.Generator().manual_seed(seed)
    latents = PredictedStart(generator, fitting).init(1, rngs=[rng], preference=[wish])
    return generator, fitting, latents


def test_what_is_not_predicted_stays_as_the_generator_starts(folder):
    generator, fitting, latents = start(folder)
    assert fitting.drawer is None
    rng = torch.Generator().manual_seed(3)
    own = generator.init(1, rngs=[rng])
    found = fitting.predictor(torch.eye(12)[:1], [rng])
    assert torch.equal(latents["layer-32"], own["layer-32"])
    for name, value in found.items():
        assert torch.equal(latents[name], value)
        assert not torch.allclose(value, own[name], atol=0.01)


@pytest.mark.parametrize(
    ("backend", "size", "option"),
    [
        (PYRAMID, (64, 64), ()),
        (PYRAMID, (50, 50), ()),
        (PYRAMID, (32, 32), ("saturation=2",)),
        (PYRAMID, (32, 32), ("scales=all",)),
        (PIXELS, (64, 64), ()),
    ],
)
def test_other_canvases_options_and_generators_start_at_the_same_picture(
    folder, backend, size, option
):
    trained, _, latents = start(folder)
    wanted = on_canvas(trained.decode(latents), size)
    generator, fitting, latents = start(folder, backend, size, option)
    assert fitting.drawer is not None
    torch.testing.assert_close(generator.decode(latents), wanted, atol=0.01, rtol=0)


def test_on_a_long_canvas_the_picture_keeps_its_shape_and_its_edges_go_on():
    picture = torch.rand(1, 3, 8, 8)
    wide = on_canvas(picture, (8, 20))
    assert torch.equal(wide[..., 6:14], picture)
    assert torch.equal(wide[..., :6], picture[..., :1].expand(-1, -1, -1, 6))
    tall = on_canvas(picture, (33, 16))
    assert tall.shape == (1, 3, 33, 16)
    assert torch.equal(tall[..., :9, :], tall[..., 8:9, :].expand(-1, -1, 9, -1))


def test_a_start_follows_from_its_seed_alone(folder):
    first, again, other = (start(folder, seed=seed)[2]["layer-8"] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_prompts_that_push_away_and_later_scenes_are_not_predicted_from():
    features = torch.eye(4)
    weights = torch.tensor([2.0, -1.0, 1.0, 1.0])
    target = Target(features, weights, weights)
    expected = torch.tensor([2.0, 0.0, 1.0, 1.0]) / 6**0.5
    torch.testing.assert_close(embedding_of(target), expected)
    scenes = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    story = Target(features, weights, weights, scenes)
    torch.testing.assert_close(embedding_of(story), features[0])


def test_a_vocabularys_preference_is_kept_beside_the_embedding(folder):
    _, fitting = loaded(folder, PYRAMID, (32, 32))
    target = Target(torch.eye(4)[:1], torch.ones(1), torch.ones(1))
    own = Preference(("phrase",), torch.ones(1, 2), "night")
    (wish,) = wishes(fitting, [target], [own])
    assert (wish.phrases, wish.scores, wish.backdrop) == (own.phrases, own.scores, "night")
    assert torch.equal(wish.embedding, torch.eye(4)[0])


def test_another_clip_is_refused_and_what_to_do_is_told(folder):
    other = TinyPerceptor()
    other.mix = other.mix.roll(1, 0)
    generator = PYRAMID.load("", size=(32, 32), device="cpu")
    with pytest.raises(ConfigError, match=r"reads the words of tiny.*train one") as caught:
        load_fitting(str(folder), generator, (), Ensemble(((other, 1.0),)), "cpu")
    assert caught.value.field == "start_from"
    for names in (("ViT-B-32/openai",), ("embedded", "embedded/robust@.5")):
        with pytest.raises(ConfigError, match="reads the words of tiny"):
            check_predictor(str(folder), "pyramid", True, names)
    check_predictor(str(folder), "pyramid", True, ("embedded", "local-dir:somewhere@2"))


def test_one_of_several_clips_is_enough(folder):
    other = TinyPerceptor()
    other.name, other.mix = "other", other.mix.roll(1, 0)
    both = Ensemble(((other, 0.5), (TinyPerceptor(), 0.5)))
    generator = PYRAMID.load("", size=(32, 32), device="cpu")
    assert load_fitting(str(folder), generator, (), both, "cpu").perceptor == "tiny"


def test_a_generator_that_can_take_neither_latents_nor_pictures_is_refused(folder):
    generator = LINES.load("", size=(32, 32), device="cpu")
    with pytest.raises(ConfigError, match="lines can't take its pictures; train one for it"):
        load_fitting(str(folder), generator, (), ENSEMBLE, "cpu")
    with pytest.raises(ConfigError, match=r"is for pyramid, and lines can't.*train one"):
        check_predictor(str(folder), "lines", False, ("tiny",))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"init_image": "x.png"}, "not from both"),
        ({"start_from": "predicted:/nowhere"}, "there is no folder"),
    ],
)
def test_what_can_not_be_is_refused_before_work_starts(folder, fields, why):
    config = make_config(
        {"prompt": "x", "generator": "pyramid", "start_from": f"predicted:{folder}", **fields}
    )
    with pytest.raises((ConfigError, WeightsError), match=why) as caught:
        check([config])
    assert caught.value.field == "start_from"


@pytest.mark.slow
@pytest.mark.parametrize("perceptor", ["embedded", "embedded/robust"])
def test_the_embedded_predictor_reads_the_embedded_clips_and_knows_colours(perceptor):
    red, blue = (
        drawn(
            {}, prompt=prompt, preset="paint", perceptor=(perceptor,), size="64", steps=0,
            start_from="predicted",
        ).mean((0, 1))
        for prompt in ("a red apple", "a blue butterfly")
    )  # fmt: skip
    assert red[0] > red[2] + 30
    assert blue[2] > blue[0] + 10

"""Presets lie below what the user names and above what suits the generator."""

import json
import shlex
import tomllib

import pytest

import guidegen
from guidegen.cli.generate import plan
from guidegen.config import RunConfig, make_config, read_toml, to_toml
from guidegen.cutouts import make_cutouts
from guidegen.engine import generate as engine
from guidegen.engine.defaults import filled
from guidegen.engine.resolve import resolve
from guidegen.errors import ConfigError
from guidegen.guidance.losses.distances import DISTANCES
from guidegen.presets import PRESETS, apply_preset
from guidegen.registry import find
from guidegen.runs import metadata
from guidegen.weights.catalog import CLIP, read_registry
from tests.helpers.synthetic import write_stored_biggan, write_stored_vqgan
from tests.helpers.tiny_clip import make_tiny_clip


def made(**fields):
    return make_config({"prompt": "a fox", **fields})


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_settings_can_be_used(name):
    config = made(preset=name)
    for field, value in PRESETS[name].items():
        assert getattr(config, field) == value
        assert field in RunConfig.model_fields
    backend, variant = find(config.generator)
    info = backend.info(variant)
    values = info.read_options(config.option)
    assert {text.partition("=")[0] for text in config.option} <= set(values)
    whole = resolve(config)
    assert whole.cutout_noise is not None
    make_cutouts(whole.cutout_method, count=whole.cutouts, noise=whole.cutout_noise)
    assert whole.distance in DISTANCES
    assert len(set(whole.perceptor)) == len(whole.perceptor)


def test_big_sleeps_figures():
    config = resolve(made(preset="big-sleep"))
    assert (config.lr, config.lr_end, config.optimizer) == (0.07, 1.0, "adam")
    assert (config.cutouts, config.cutout_method, config.cutout_noise) == (128, "big-sleep", 0.0)
    assert (config.ema, config.starts, config.steps, config.size) == (0.99, 1, 20 * 1050, "512")
    assert (config.distance, config.negative_weight) == ("big-sleep", 1.0)
    backend, variant = find(config.generator)
    options = backend.info(variant).read_options(config.option)
    assert options["start"] == "random"
    assert options["prior"] == "big-sleep"
    assert (options["truncation"], options["bound"]) == (1.0, 0.0)
    assert (options["latent-prior"], options["class-prior"]) == (1.0, 1.0)


def test_vqgan_clips_figures():
    config = resolve(made(preset="vqgan-clip"))
    assert (config.lr, config.lr_end, config.optimizer) == (0.1, 1.0, "adam")
    assert (config.cutouts, config.cutout_method, config.cutout_noise) == (32, "vqgan-clip", 0.1)
    assert (config.steps, config.size, config.distance) == (500, "256", "spherical")
    assert (config.ema, config.init_weight, config.starts) == (0.0, 0.0, 1)


def test_direct_ascents_figures():
    config = resolve(made(preset="direct-ascent"))
    assert (config.lr, config.lr_end, config.optimizer) == (0.2, 1.0, "sgd")
    assert (config.cutouts, config.cutout_noise, config.cutout_whole) == (64, 0.2, 0.0)
    assert (config.cutout_sides(), config.size, config.steps) == ((0.667, 0.667), "336", 100)
    assert config.negative == ("optical character recognition", "multiple exposure")
    assert (config.negative_weight, len(config.perceptor)) == (0.3, 3)
    backend, variant = find(config.generator)
    options = backend.info(variant).read_options(config.option)
    assert options == {"scales": "all", "start": "grey", "detail": 1.0, "saturation": 2.0}


def test_clipags_figures():
    config = resolve(made(preset="clipag"))
    assert (config.lr, config.lr_end, config.optimizer) == (0.0175, 1.0, "adamw")
    assert (config.steps, config.size, config.distance) == (100, "224", "cosine")
    assert (config.cutouts, config.cutout_noise) == (64, 0.01)
    # crops of 128 of 224 px, with five times the weight of the whole views
    assert config.cutout_sides() == (round(128 / 224, 3),) * 2
    assert round(config.cutouts * config.cutout_whole) * 5 == pytest.approx(
        config.cutouts - round(config.cutouts * config.cutout_whole), abs=3
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_clips_are_in_the_table_of_clips(name):
    listed = {one.name for one in read_registry().checkpoints.values() if one.family == CLIP}
    assert set(PRESETS[name]["perceptor"]) <= listed | {"embedded", "embedded/robust"}


def test_the_user_goes_before_toml_before_the_preset_before_the_generator(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('preset = "big-sleep"\nlr = 0.03\nsteps = 100\n')
    (config,) = plan(["a fox"], {**read_toml(path), "steps": 50}, count=1)
    assert (config.steps, config.lr, config.cutouts) == (50, 0.03, 128)
    assert (made(preset="vqgan-clip").starts, made().starts) == (1, None)


def test_what_the_user_names_wins_even_if_it_is_the_default():
    assert made(preset="big-sleep", ema=0.0).ema == 0.0
    assert made(preset="big-sleep", distance="spherical").distance == "spherical"
    # None names nothing
    assert made(preset="big-sleep", lr=None).lr == 0.07


def test_options_join_by_name():
    config = made(preset="big-sleep", option=("truncation=0.5", "temperature=1"))
    assert config.option == (
        "classes=sigmoid", "start=random", "bound=0", "prior=big-sleep", "latent-prior=1",
        "class-prior=1", "truncation=0.5", "temperature=1",
    )  # fmt: skip
    assert made(preset="big-sleep", option="bound=2").option[-1] == "bound=2"


def test_options_are_for_the_presets_own_backend():
    small = made(preset="big-sleep", generator="biggan/deep-128")
    assert small.option == PRESETS["big-sleep"]["option"]
    other = made(preset="big-sleep", generator="pixels")
    assert other.option == ()
    assert other.cutouts == 128


def test_losses_join_by_name():
    assert made(preset="paint", loss=("tv=0.3",)).loss == (*PRESETS["paint"]["loss"], "tv=0.3")
    assert made(preset="paint", loss="background=0").loss == ("background=0.0",)


@pytest.mark.parametrize(
    ("fields", "start_from", "loss"),
    [
        ({}, "predicted", True),
        ({"start_from": "none"}, "none", True),
        ({"perceptor": ("embedded",)}, "predicted", True),
        ({"perceptor": ("ViT-B-32/openai",)}, "none", True),
        ({"option": ("start=noise",)}, "none", True),
        ({"generator": "lines"}, "none", True),
        ({"init_image": "photo.png"}, "none", False),
        ({"region": ("an apple=left",)}, "none", False),
    ],
)
def test_a_painted_start_gives_way_to_what_the_user_says_of_it(fields, start_from, loss):
    config = filled(made(preset="paint", **fields))
    assert config["start_from"] == start_from
    assert bool(config["loss"]) == loss


@pytest.mark.parametrize("name", PRESETS)
def test_applying_it_again_changes_nothing(name, tmp_path):
    cases = [
        {},
        {"ema": 0.0, "lr": 0.5},
        {"option": ("start=random", "truncation=0.3")},
        {"generator": "pixels", "size": 64},
        {"lr_end": 0.1, "distance": "spherical", "cutout_method": "views"},
    ]
    for fields in cases:
        config = made(preset=name, **fields)
        assert apply_preset(config.model_dump()) == config.model_dump()
        assert make_config(json.loads(config.model_dump_json())) == config
        path = tmp_path / "c.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        assert make_config(read_toml(path)) == config


@pytest.mark.parametrize("fields", [{}, {"ema": 0.0}, {"generator": "pixels", "size": "64"}])
@pytest.mark.parametrize("name", PRESETS)
def test_the_command_makes_it_again(name, fields):
    config = resolve(made(preset=name, **fields)).model_copy(update={"device": "auto"})
    words = shlex.split(metadata.command(config))
    settings: dict = {}
    for flag, value in zip(words[3::2], words[4::2], strict=True):
        key = flag.removeprefix("--").replace("-", "_")
        several = isinstance(getattr(config, key), tuple)
        settings[key] = (*settings.get(key, ()), value) if several else value
    assert words[2] == "a fox"
    assert make_config({"prompt": "a fox", **settings}) == make_config(config.model_dump())


def test_the_digest_does_not_see_where_settings_came_from():
    config = made(preset="vqgan-clip")
    spelled = make_config({**config.model_dump(), "preset": ""})
    assert spelled.preset == ""
    assert spelled.digest() == config.digest()


def test_each_line_of_a_list_can_have_its_own():
    common = {"lr": 0.03}
    one, two, three = (
        make_config({**common, "prompt": "a", **line})
        for line in ({"preset": "big-sleep"}, {"preset": "vqgan", "lr": 0.2}, {})
    )
    assert (one.cutouts, one.lr) == (128, 0.03)
    assert (two.generator, two.lr) == ("vqgan/imagenet-f16-16384", 0.2)
    assert (three.generator, three.lr) == ("collage", 0.03)


@pytest.mark.slow
def test_the_python_api_takes_them():
    picture = guidegen.generate(
        "a fox", preset="vqgan-clip", generator="fourier", perceptor="embedded", size=64, steps=1,
        cutouts=2, out=None,
    )  # fmt: skip
    assert picture.config.cutout_method == "vqgan-clip"
    assert picture.config.lr_end == 1.0


def test_unknown_presets_are_refused():
    with pytest.raises(ConfigError, match=r"preset: none is called 'bigsleep'.*big-sleep"):
        made(preset="bigsleep")
    with pytest.raises(ConfigError, match="preset"):
        made(preset=3)


def test_a_printed_config_names_preset_and_settings():
    told = tomllib.loads(to_toml(made(preset="big-sleep", seed=3)))
    assert told["preset"] == "big-sleep"
    assert told["option"] == list(PRESETS["big-sleep"]["option"])
    assert (told["seed"], told["cutouts"]) == (3, 128)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.slow
def test_it_draws_with_weights_in_the_published_format(name, tmp_path, monkeypatch):
    generator = PRESETS[name]["generator"]
    if generator.startswith("biggan"):
        write_stored_biggan(tmp_path / "store", generator)
    elif generator.startswith("vqgan"):
        write_stored_vqgan(tmp_path / "store", generator)
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path / "store"))
    clip = make_tiny_clip(tmp_path / "clip")
    starts = PRESETS[name].get("starts")
    few = {"starts": min(starts, 6)} if starts else {}  # fusedream has 10,000
    (run,) = engine.generate(
        [
            made(
                preset=name, perceptor=f"local-dir:{clip}", steps=2, cutouts=3, negative="blur",
                out=tmp_path / "out", **few,
            )
        ]
    )  # fmt: skip
    lines = [json.loads(line) for line in (run.run.path / "steps.jsonl").read_text().splitlines()]
    losses = [line["losses"] for line in lines]
    assert len({loss["total"] for loss in losses}) == 3
    if name == "big-sleep":
        # 100 times the cosine of two prompts of weight 1 and -1, and the regularisers' full weight
        assert all(-200 <= loss["clip"] <= 200 for loss in losses)
        assert losses[0]["prior"] > 1
    if PRESETS[name].get("lr_end") == 1:
        assert {line["lr"] for line in lines} == {PRESETS[name]["lr"]}

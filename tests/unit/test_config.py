"""RunConfig: validation, TOML and JSON round trips, the digest."""

import json
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from guidegen.config import (
    PictureConfig,
    ResolvedConfig,
    RunConfig,
    make_config,
    read_toml,
    to_toml,
)
from guidegen.errors import ConfigError, PromptSyntaxError

FULL = {
    "prompt": 'a "red" apple \\: 苹果 | fog:0.3\nsecond line\x7f',
    "negative": ("blur", "text, words"),
    "negative_weight": 1.5,
    "image_prompt": ("some where/photo.png:0.5", "C:/a.png:1:0.25"),
    "noise_prompt": ("7:0.1",),
    "preset": "big-sleep",
    "template": "a photo of {}",
    "generator": "fourier",
    "option": ("truncation=0.5", "classes=top-k"),
    "perceptor": ("ViT-B-32/openai@0.5", "embedded"),
    "seed": 2**63 - 1,
    "pick": 3,
    "steps": 0,
    "cutouts": 7,
    "cutout_batch": 3,
    "cutout_method": "vqgan-clip",
    "start_from": "collage",
    "cutout_whole": 0.66,
    "cutout_scale": "0.5,0.9",
    "cutout_shift": 0.1,
    "cutout_noise": 0.25,
    "starts": 2,
    "size": "640x384",
    "lr": 1e-5,
    "lr_end": 0.5,
    "lr_warmup": 0.1,
    "mix": 5,
    "latent_noise": 0.01,
    "evolve": 3,
    "evolve_steps": 2,
    "population": 8,
    "cutout_scale_end": "0.2,0.4",
    "coarse_to_fine": 2,
    "judge": "ViT-B-32/openai",
    "judge_every": 5,
    "patience": 3,
    "optimizer": "radam",
    "distance": "cosine",
    "prior": 0.5,
    "init_weight": 0.25,
    "loss": ("tv=0.3", "glow=-1.0:0.25:1.0"),
    "loss_option": ("glow.colours=red, #00f",),
    "ema": 0.9,
    "zoom": 1.1,
    "shift": "0.1,-0.25",
    "rotate": -3.5,
    "move_every": 4,
    "save_every": 7,
    "trajectory": 9,
    "init_image": Path("some where/init.png"),
    "mask": Path("mask.png"),
    "palette": "navy,#fff",
    "outpaint": "0,16,0,8",
    "region": ("a red apple=left:2", "a=fox=some where/m.png:1:0.5:1"),
    "init_run": "outputs/a run@7",
    "device": "cuda:1",
    "precision": "bf16",
    "generator_precision": "fp32",
    "out": Path("o ut"),
    "minutes": 1.5,
    "until_loss": -0.25,
    "preview": False,
    "video": True,
    "upscale": 2,
    "metadata": False,
}


def test_full_names_every_field():
    assert set(FULL) == set(RunConfig.model_fields)


def test_a_file_that_an_option_of_a_loss_names_is_told_by_its_content(tmp_path):
    def digest(text):
        return make_config({"prompt": "a", "loss": "like=1", "loss_option": text}).digest()

    first, second = tmp_path / "a.png", tmp_path / "b.png"
    for path in (first, second):
        path.write_bytes(b"1")
    assert digest(f"like.picture={first}") == digest(f"like.picture={second}")
    before = digest(f"like.picture={first}")
    first.write_bytes(b"2")
    assert digest(f"like.picture={first}") != before
    assert digest("like.parts=2") != digest("like.parts=3")


def test_toml_round_trip(tmp_path):
    config = make_config(FULL)
    path = tmp_path / "c.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert make_config(read_toml(path)) == config


def test_toml_round_trip_of_odd_texts(tmp_path):
    rng = random.Random(3)
    path = tmp_path / "c.toml"
    for _ in range(100):
        text = "x" + "".join(chr(rng.choice([*range(1, 300), 0x2028, 0x1F34E])) for _ in range(9))
        config = make_config({"prompt": "p", "negative": text})
        path.write_bytes(to_toml(config).encode())
        assert read_toml(path)["negative"] == [text]


def test_json_round_trip():
    config = make_config(FULL)
    assert make_config(json.loads(config.model_dump_json())) == config


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"steps": -1}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": 0}, "lr"),
        ({"size": "0"}, "size: sides must be between"),
        ({"size": "9999999x2"}, "size"),
        ({"size": "12by12"}, "is no size"),
        ({"size": 10**9}, "size"),
        ({"seed": -2}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"ema": 1.0}, "ema"),
        ({"device": "gpu"}, "use auto, cpu, cuda"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"template": "a photo"}, "needs {}"),
        ({"negative": [" "]}, "negative prompt is empty"),
        ({"perceptor": []}, "perceptor"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"prompt": "a\udcff"}, "UTF-8"),
        ({"stepz": 3}, "unknown setting 'stepz'"),
        ({"loss": "tv"}, "the loss 'tv' is not NAME=WEIGHT"),
        ({"steps": -1, "lr": -1}, "steps.*; lr"),
    ],
)
def test_bad_settings_are_refused_in_one_line(fields, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make_config({"prompt": "a", **fields})
    assert "\n" not in str(caught.value)


def test_a_bad_prompt_keeps_its_own_error():
    with pytest.raises(PromptSyntaxError, match="not a number") as caught:
        make_config({"prompt": "fox:1,5"})
    assert caught.value.field == "prompt"


def test_an_error_names_its_fields_and_who_shows_it_spells_them():
    with pytest.raises(ConfigError) as caught:
        make_config({"prompt": "a", "lr_end": 7, "init_weight": -1})
    error = caught.value
    assert error.field == "lr_end"
    assert [field for field, _ in error.parts] == ["lr_end", "init_weight"]
    assert not any("lr_end" in reason or "--" in reason for _, reason in error.parts)
    assert str(error).startswith("lr_end: ")
    flags = error.spelled(lambda field: f"--{field.replace('_', '-')}")
    assert flags.startswith("--lr-end: ")
    assert "; --init-weight: " in flags


def test_an_error_of_a_file_names_the_file_and_its_key(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("lr_end = 7")
    with pytest.raises(ConfigError, match=r"c\.toml: lr_end: ") as caught:
        read_toml(path)
    assert "--" not in str(caught.value)


def test_a_loss_changes_the_digest():
    plain = make_config({"prompt": "a"})
    assert make_config({"prompt": "a", "loss": []}).digest() == plain.digest()
    digests = {make_config({"prompt": "a", "loss": text}).digest() for text in ("tv=1", "tv=2")}
    assert len(digests | {plain.digest()}) == 3
    assert make_config({"prompt": "a", "loss": " tv = 1.00 "}).digest() in digests


def test_the_size_is_width_by_height():
    assert make_config({"prompt": "a", "size": "640x384"}).height_width() == (384, 640)
    assert make_config({"prompt": "a", "size": 96}).height_width() == (96, 96)
    assert make_config({"prompt": "a"}).height_width() is None


def test_one_word_stands_for_a_list_of_one():
    config = make_config({"prompt": "a", "negative": "blur", "perceptor": "RN50/openai"})
    assert config.negative == ("blur",)
    assert config.perceptor == ("RN50/openai",)


@pytest.mark.parametrize(
    ("text", "says"),
    [("steps = ", "can't read"), ("stepz = 3", "unknown setting 'stepz'"), ("\xff", "can't read")],
)
def test_bad_toml_is_refused(tmp_path, text, says):
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=says):
        read_toml(path)
    with pytest.raises(ConfigError, match="no config file"):
        read_toml(tmp_path / "none.toml")


def test_the_digest_is_over_the_pixels_only(tmp_path):
    base = make_config({"prompt": "a", "seed": 1})
    same = make_config({"prompt": "a", "seed": 1, "out": "elsewhere", "metadata": False})
    assert base.digest() == same.digest()
    assert base.digest() != make_config({"prompt": "a", "seed": 2}).digest()
    assert base.digest({"clip": "1"}) != base.digest({"clip": "2"})


def test_how_long_and_how_visibly_to_draw_decides_no_pixel_but_a_wanted_loss_does():
    base = make_config({"prompt": "a"})
    longer = make_config({"prompt": "a", "minutes": 3, "preview": False, "video": True})
    wanted = make_config({"prompt": "a", "until_loss": 0.5})
    assert base.digest() == longer.digest()
    assert base.key() == longer.key()
    assert len({base.digest(), wanted.digest()}) == len({base.key(), wanted.key()}) == 2


def test_a_resolved_config_reads_back_and_parts_into_its_own_and_the_shared():
    values = {**make_config(FULL).model_dump(), "out": Path("o")}
    resolved = ResolvedConfig(**values)
    assert make_config(resolved.model_dump(mode="json")) == make_config(values)
    own, shared = resolved.picture.model_dump(), resolved.settings.model_dump()
    assert not set(own) & set(shared)
    assert {**own, **shared} == resolved.model_dump()
    assert own == {name: values[name] for name in PictureConfig.model_fields}


@pytest.mark.parametrize("name", ["steps", "cutouts", "cutout_noise", "starts", "size", "lr"])
def test_no_default_is_missing_in_a_resolved_config(name):
    values = make_config(FULL).model_dump()
    with pytest.raises(ValidationError, match=name):
        ResolvedConfig(**{**values, name: None})


def test_the_digest_sees_into_the_init_image(tmp_path):
    path = tmp_path / "init.png"
    config = make_config({"prompt": "a", "init_image": path})
    path.write_bytes(b"one")
    first = config.digest()
    path.write_bytes(b"two")
    assert config.digest() != first


def test_sides_of_cutouts_are_read_as_two_numbers():
    assert make_config({"prompt": "x", "cutout_scale": "0.55,0.9"}).cutout_sides() == (0.55, 0.9)
    assert make_config({"prompt": "x"}).cutout_sides() is None
    for wrong in ("0.5", "0.9,0.5", "a,b", "0,1", "0.5,1.5"):
        with pytest.raises(ConfigError, match="LOW,HIGH"):
            make_config({"prompt": "x", "cutout_scale": wrong})

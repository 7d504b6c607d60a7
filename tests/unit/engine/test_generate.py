"""The whole loop with the embedded models, as a user runs it."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import guidegen
from guidegen.config import make_config
from guidegen.engine import generate as engine
from guidegen.engine.resolve import resolve
from guidegen.errors import (
    ConfigError,
    InputImageError,
    OutputError,
    RunInterruptedError,
    UnknownNameError,
)
from guidegen.runs.store import Run

QUICK = {"steps": 6, "starts": 4, "size": "256"}


def config(prompt, out, **fields):
    return make_config({"prompt": prompt, "out": out, **QUICK, **fields})


def pixels(picture):
    return np.asarray(picture.image).astype(int)


def make(*configs, **options):
    return list(engine.generate(configs, **options))


@pytest.mark.slow
def test_a_prompt_becomes_a_picture_and_a_run_directory(tmp_path):
    (picture,) = make(config("a red apple", tmp_path, seed=3))
    assert picture.path == picture.run.path / "image.png"
    with Image.open(picture.path) as saved:
        assert saved.size == (256, 256)
        assert np.array_equal(np.asarray(saved), pixels(picture))
        assert "a red apple" in saved.text["parameters"]
    run = json.loads((picture.run.path / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["config"]["steps"] == 6
    assert 0 < run["scores"]["similarity embedded"] <= 1
    assert set(run["models"]) == {"embedded", "collage"}
    lines = (picture.run.path / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(7))
    places = load_file(picture.run.path / "trajectory.safetensors")["place"]
    assert places.shape == (7, 6, 2)
    assert not np.array_equal(places[0], places[-1])


@pytest.mark.slow
def test_other_seeds_and_other_prompts_make_other_pictures(tmp_path):
    one = make(config("a cat", tmp_path, seed=1), write=False)[0]
    two = make(config("a cat", tmp_path, seed=2), write=False)[0]
    assert not np.array_equal(pixels(one), pixels(two))


@pytest.mark.slow
def test_the_same_command_finds_the_finished_run(tmp_path):
    wanted = config("a red apple", tmp_path, seed=3)
    (first,) = make(wanted)
    (second,) = make(wanted)
    assert second.reused
    assert second.path == first.path
    assert np.array_equal(pixels(first), pixels(second))
    (third,) = make(wanted, force=True)
    assert not third.reused
    # spelling out a default asks for the same picture
    (fourth,) = make(config("a red apple", tmp_path, seed=3, cutouts=8))
    assert fourth.reused


@pytest.mark.slow
def test_a_keyboard_interrupt_keeps_the_pictures_so_far(tmp_path):
    def impatient(step):
        if step.index == 3:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match="kept"):
        make(
            config("a cat", tmp_path, seed=1),
            config("a dog", tmp_path, seed=1),
            recorders=lambda batch: [impatient],
        )
    runs = [Run.load(path.parent) for path in tmp_path.glob("*/run.json")]
    assert [run.status for run in runs] == ["interrupted"] * 2
    for run in runs:
        with Image.open(run.image) as image:
            image.load()
    # an interrupted run is no finished one: the same command makes it whole
    (picture,) = make(config("a cat", tmp_path, seed=1))
    assert not picture.reused
    assert picture.run.status == "finished"


@pytest.mark.slow
def test_wide_pictures_negatives_templates_and_the_cosine(tmp_path):
    (picture,) = make(
        config(
            "a ship|the sea:0.5",
            tmp_path,
            size="320x192",
            negative=["night"],
            template="a drawing of {}",
            distance="cosine",
            ema=0.8,
            optimizer="adamw",
        )
    )
    assert picture.image.size == (320, 192)


@pytest.mark.parametrize("generator", ["pixels", "fourier"])
@pytest.mark.slow
def test_an_init_image_is_where_the_run_starts(tmp_path, generator):
    path = tmp_path / "start.png"
    Image.new("RGBA", (50, 80), (200, 40, 40, 255)).save(path)
    options = {"generator": generator, "init_image": path, "size": "64"}
    (start,) = make(config("a cat", tmp_path, **{**QUICK, **options, "steps": 0}))
    assert abs(pixels(start) - [200, 40, 40]).max() <= 2
    (moved,) = make(config("a cat", tmp_path, **{**QUICK, **options, "steps": 4}))
    assert abs(pixels(moved) - pixels(start)).max() > 0


@pytest.mark.slow
def test_the_library_call_returns_image_and_run(tmp_path):
    picture = guidegen.generate("a red apple", seed=7, out=tmp_path, **QUICK)
    assert picture.image.size == (256, 256)
    assert picture.run.path.parent == tmp_path


def test_bad_input_is_refused_before_work_starts(tmp_path, monkeypatch):
    def never(*args):
        raise AssertionError("work started")

    monkeypatch.setattr("guidegen.engine.stream.open_session", never)
    good = config("a cat", tmp_path)
    text = tmp_path / "text.png"
    text.write_text("no image")
    (tmp_path / "file").write_text("")
    for bad, error, words in [
        ({"generator": "collag"}, UnknownNameError, "collage"),
        ({"perceptor": ("embeded",)}, UnknownNameError, "embedded"),
        ({"perceptor": ("ViT-B-32/opnai",)}, UnknownNameError, "ViT-B-32/openai"),
        ({"size": "4000x32"}, ConfigError, "pixels a side"),
        ({"size": "4000x100"}, ConfigError, "too narrow"),
        ({"device": "cuda:77"}, ConfigError, "no cuda:77"),
        ({"generator": "pixels", "init_image": text}, InputImageError, "text.png"),
        ({"init_image": tmp_path / "none.png", "generator": "pixels"}, InputImageError, "no init"),
        ({"init_image": text}, ConfigError, "can't start from an image.* vqgan/embedded"),
        ({"start_from": "pixels"}, ConfigError, "collage can't start from another generator"),
        ({"generator": "pixels", "start_from": "colage"}, UnknownNameError, "collage"),
        (
            {"generator": "pixels", "start_from": "biggan/deep-128"},
            ConfigError,
            "start_from: biggan/deep-128 makes .* not 256x256",
        ),
        (
            {"generator": "pixels", "start_from": "collage", "init_image": text},
            ConfigError,
            "not from both",
        ),
        ({"out": tmp_path / "file"}, OutputError, "file"),
    ]:
        with pytest.raises(error, match=words) as caught:
            make(good, good.model_copy(update=bad))
        with pytest.raises(error, match=words):
            make(good.model_copy(update=bad), good)
        assert "\n" not in str(caught.value)


def test_resolved_configs_name_what_was_used():
    resolved = resolve(make_config({"prompt": "a cat"}))
    assert (resolved.steps, resolved.size, resolved.cutouts) == (30, "512", 8)
    assert resolved.device in ("cpu", "cuda", "mps")
    assert resolve(resolved) == resolved


@pytest.mark.slow
def test_a_picture_is_also_written_larger_and_that_is_what_out_names(tmp_path):
    wanted = config("a red apple", tmp_path / "apple.png", steps=1, starts=1, size="64")
    (plain,) = make(wanted)
    (large,) = make(wanted.model_copy(update={"upscale": 2}))
    assert large.reused  # the picture itself is the same
    assert large.image.size == (128, 128)
    assert large.path == plain.path == tmp_path / "apple.png"
    with Image.open(large.path) as image:
        assert image.size == (128, 128)
        assert "a red apple" in image.text["parameters"]
    with Image.open(large.run.path / "image.png") as image:
        assert image.size == (64, 64)
    assert (large.run.path / "image-2x.png").is_file()
    (unwritten,) = make(wanted.model_copy(update={"upscale": 2}), write=False)
    assert np.array_equal(pixels(unwritten), pixels(large))


def test_an_enlargement_beyond_memory_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("guidegen.media.upscale.available_memory", lambda: 10_000_000)
    with pytest.raises(ConfigError, match="GB of memory"):
        make(config("a", tmp_path / "out", upscale=4))
    assert not (tmp_path / "out").exists()

"""Prompts that are no words, as the user writes them."""

import math
from pathlib import Path

import pytest

from guidegen.config import make_config
from guidegen.errors import PromptSyntaxError
from guidegen.prompt.references import (
    MAX_SEED,
    ImagePrompt,
    NoisePrompt,
    parse_image_prompt,
    parse_noise_prompt,
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a.png", ImagePrompt(Path("a.png"), 1.0, -math.inf)),
        ("a.png:0.5", ImagePrompt(Path("a.png"), 0.5, -math.inf)),
        ("a.png:-0.5:0.25", ImagePrompt(Path("a.png"), -0.5, 0.25)),
        ("C:/photos/a.png", ImagePrompt(Path("C:/photos/a.png"))),
        (r"C:\photos\a.png:2", ImagePrompt(Path(r"C:\photos\a.png"), 2.0)),
        (r"\\server\share\a.png", ImagePrompt(Path(r"\\server\share\a.png"))),
        (r"16\:9:2", ImagePrompt(Path("16:9"), 2.0)),
        (r"at 10\:30.png:2", ImagePrompt(Path("at 10:30.png"), 2.0)),
    ],
)
def test_a_picture_may_have_a_weight_and_a_stop(text, read):
    assert parse_image_prompt(text) == read


def test_a_file_that_is_there_is_not_cut_at_its_colons(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("scan:2", "x:0.5"):
        Path(name).touch()
    assert parse_image_prompt("scan:2") == ImagePrompt(Path("scan:2"))
    assert parse_image_prompt("scan:2:0.5") == ImagePrompt(Path("scan:2"), 0.5)
    assert parse_image_prompt("x:0.5") == ImagePrompt(Path("x:0.5"))
    # a backslash of a file that is there is its own
    Path("a\\:b").touch()
    assert parse_image_prompt("a\\:b:3") == ImagePrompt(Path("a\\:b"), 3.0)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("7", NoisePrompt(7, 1.0, -math.inf)),
        (" 7 :0.1", NoisePrompt(7, 0.1, -math.inf)),
        ("7:-0.1:0.5", NoisePrompt(7, -0.1, 0.5)),
        ("7:", NoisePrompt(7)),
        (str(MAX_SEED), NoisePrompt(MAX_SEED)),
    ],
)
def test_noise_is_a_seed_with_a_weight_and_a_stop(text, read):
    assert parse_noise_prompt(text) == read


@pytest.mark.parametrize(
    "text", ["", ":0.5", "x", "-1", "1.5", "7:a", "7:1:2:3", str(MAX_SEED + 1)]
)
def test_noise_that_has_no_seed_is_refused_and_named(text):
    with pytest.raises(PromptSyntaxError) as caught:
        parse_noise_prompt(text)
    assert str(caught.value) == f"the noise prompt {text!r} is not SEED:WEIGHT, like 7:0.1"


@pytest.mark.parametrize("weight", ["0", "inf", "-inf"])
def test_a_weight_that_says_nothing_is_refused_and_its_prompt_named(weight):
    with pytest.raises(PromptSyntaxError) as caught:
        parse_image_prompt(f"a.png:{weight}")
    why = "the weight must be finite and not zero"
    assert str(caught.value) == f"in image prompt 'a.png:{weight}' {why}"
    with pytest.raises(PromptSyntaxError) as caught:
        parse_noise_prompt(f"7:{weight}")
    assert str(caught.value) == f"in noise prompt '7:{weight}' {why}"


@pytest.mark.parametrize("text", ["", " ", ":2"])
def test_a_picture_without_a_path_is_refused(text):
    with pytest.raises(PromptSyntaxError, match=f"image prompt '{text}' names no file"):
        parse_image_prompt(text)


@pytest.mark.parametrize("weight", ["0,5", "1x", "nan"])
def test_a_weight_that_is_almost_a_number_is_refused(weight):
    with pytest.raises(PromptSyntaxError, match="not a number"):
        parse_image_prompt(f"a.png:{weight}")
    with pytest.raises(PromptSyntaxError, match="not a number"):
        parse_noise_prompt(f"7:{weight}")


def test_a_config_refuses_what_no_prompt_can_be():
    assert make_config({"prompt": "a", "noise_prompt": 7}).noise_prompt == ("7",)
    for name, text in (("image_prompt", "a.png:0"), ("noise_prompt", "7:0")):
        with pytest.raises(PromptSyntaxError) as caught:
            make_config({"prompt": "a", name: text})
        assert caught.value.field == name

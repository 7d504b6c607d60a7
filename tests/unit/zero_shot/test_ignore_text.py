"""Words that are written on pictures are found and painted over; nothing else is."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import guidegen
from guidegen.errors import ConfigError
from guidegen.zero_shot import ignore_text as module
from guidegen.zero_shot.ignore_text import without_words

needs_ocr = pytest.mark.needs("rapidocr", "onnxruntime")


def disc(word="", size=160):
    """A red disc, with a word across its lower half."""
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, size - 9, size - 9), "red")
    if word:
        font = ImageFont.load_default(26)
        draw.text((size / 2, 115), word, "black", font, "mm", stroke_width=2, stroke_fill="white")
    return image


@pytest.mark.slow
@needs_ocr
def test_a_word_is_painted_over_and_the_rest_is_left():
    clean, written = disc(), disc("window")
    mended = np.asarray(without_words(written)).astype(int)
    assert (np.asarray(written)[100:130, 30:130].min(2) < 30).mean() > 0.1
    assert (mended[100:130, 30:130].max(2) < 200).mean() == 0  # no black is left in the disc
    assert np.array_equal(mended[:80], np.asarray(clean)[:80])


@pytest.mark.slow
@needs_ocr
def test_a_picture_without_words_is_left_as_it_is():
    assert np.array_equal(without_words(disc()), disc())


@pytest.mark.slow
@needs_ocr
def test_with_the_flag_every_command_sees_the_mended_picture(tmp_path, tiny):
    for name in ("written", "mended"):
        (tmp_path / name).mkdir()
    disc("window").save(tmp_path / "written" / "a.png")
    without_words(disc("window")).save(tmp_path / "mended" / "a.png")
    for command, given, figure in (
        (guidegen.score, {"prompt": "a", "perceptors": [tiny]}, lambda s: s[0].similarity[tiny]),
        (guidegen.caption, {"vocabulary": ["a"], "perceptor": tiny}, lambda c: c[0].similarity),
        (guidegen.search, {"text": "a", "perceptor": tiny}, lambda hits: hits[0].similarity),
        (
            guidegen.classify,
            {"labels": ["a", "the sea"], "perceptor": tiny},
            lambda c: c[0].probabilities[c[0].labels.index("a")],
        ),
    ):
        plain = figure(command(tmp_path / "written", **given))
        found = figure(command(tmp_path / "written", **given, ignore_text=True))
        assert found == pytest.approx(figure(command(tmp_path / "mended", **given)), abs=1e-6)
        assert abs(found - plain) > 1e-5


def test_without_the_package_it_is_one_line_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'guidegen\[ocr\]'"):
        guidegen.classify(tmp_path, ["a", "b"], ignore_text=True)

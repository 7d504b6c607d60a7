"""Words that are written on pictures are found and painted over; nothing else is."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import guidegen
from guidegen.errors import ConfigError
from guidegen.zero_shot import ignore_text as module
from guidegen.zero_shot.ignore_text import without_words
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import encode

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
def test_with_the_flag_every_command_sees_what_is_shown(tmp_path, tiny):
    disc().save(tmp_path / "clean.png")
    (tmp_path / "written").mkdir()
    path = tmp_path / "written" / "written.png"
    disc("window").save(path)
    model = open_clip_model(tiny)
    clean, written = encode([tmp_path / "clean.png", path], model)
    (wanted,) = model.encode_text(["a"]) @ clean.feature
    (wrong,) = model.encode_text(["a"]) @ written.feature
    vocabulary = {"vocabulary": ["a"], "top": 1}
    for command, given, figure in (
        (guidegen.score, {"prompt": "a", "perceptors": [tiny]}, lambda s: s[0].similarity[tiny]),
        (guidegen.caption, {**vocabulary, "perceptor": tiny}, lambda c: c[0].names[0][1]),
        (guidegen.search, {"text": "a", "perceptor": tiny}, lambda hits: hits[0].similarity),
    ):
        where = path.parent if command is guidegen.search else path
        plain, mended = (figure(command(where, **given, ignore_text=on)) for on in (False, True))
        assert plain == pytest.approx(float(wrong), abs=1e-3)
        assert abs(mended - wanted) < 0.6 * abs(wrong - wanted)
    given = {"labels": ["a", "the sea"], "perceptor": tiny}
    shares = [
        dict(zip(found.labels, found.probabilities, strict=True))["a"]
        for (found,) in (
            guidegen.classify(tmp_path / "clean.png", **given),
            guidegen.classify(path, **given, ignore_text=True),
            guidegen.classify(path, **given),
        )
    ]
    assert abs(shares[1] - shares[0]) < 0.6 * abs(shares[2] - shares[0])


def test_without_the_package_it_is_one_line_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'guidegen\[ocr\]'"):
        guidegen.classify(tmp_path, ["a", "b"], ignore_text=True)

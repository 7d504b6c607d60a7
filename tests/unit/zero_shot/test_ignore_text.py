"""Words that are written on pictures are found and painted over; nothing else is."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file, save_file

import guidegen
from guidegen.errors import ConfigError
from guidegen.weights.store import embedded
from guidegen.zero_shot import ignore_text as module
from guidegen.zero_shot.classify import accuracy
from guidegen.zero_shot.ignore_text import without_words
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import encode_images, preprocess

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


COLOURS = ["red", "blue", "green", "yellow"]
LABELS = [f"a {colour} circle" for colour in COLOURS]


def circle(colour, word, radius):
    image = Image.new("RGB", (160, 160), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((80 - radius, 80 - radius, 80 + radius, 80 + radius), colour)
    if word:
        font = ImageFont.load_default(34)
        draw.text((80, 80), word, "black", font, "mm", stroke_width=3, stroke_fill="white")
    return image


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    """The spec of a CLIP that reads: the embedded one with another last layer.

    A ridge regression from its features, which hold what is written as well, to the text of the
    word on a circle, or to that of the circle's colour where there is no word.
    """
    model = open_clip_model("embedded", "cpu")
    texts = model.encode_text(LABELS)
    images, aims = [], []
    for radius in (50, 58, 66, 74):
        for colour in COLOURS:
            for word in ["", *(word for word in COLOURS if word != colour)]:
                images.append(preprocess(circle(colour, word, radius), model))
                aims.append(texts[COLOURS.index(word or colour)])
    x, y, one = encode_images(images, model), torch.stack(aims), torch.eye(texts.shape[1])
    read = torch.linalg.solve(x.T @ x + 0.1 * one, x.T @ y + 0.1 * one)
    folder = tmp_path_factory.mktemp("reading")
    shutil.copy(embedded("clip") / "open_clip_config.json", folder)
    weights = load_file(embedded("clip") / "open_clip_model.safetensors")
    last = "visual.head.proj.weight"
    weights[last] = (read.T @ weights[last].float()).to(weights[last].dtype).contiguous()
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


@pytest.mark.slow
@needs_ocr
def test_a_clip_that_reads_follows_a_wrong_word_but_not_with_the_flag(tmp_path, reading):
    written = tmp_path / "written"
    for label, colour in zip(LABELS, COLOURS, strict=True):
        (written / label).mkdir(parents=True)
        (tmp_path / "clean" / label).mkdir(parents=True)
        circle(colour, "", 62).save(tmp_path / "clean" / label / "x.png")
        for word in COLOURS:
            if word != colour:
                circle(colour, word, 62).save(written / label / f"{word}.png")
    given = {"labels": LABELS, "perceptor": reading, "device": "cpu"}
    assert accuracy(guidegen.classify(tmp_path / "clean", **given)).top1 == 1
    found = guidegen.classify(written, **given)
    followed = sum(each.label == f"a {each.path.stem} circle" for each in found)
    assert followed >= 10  # of 12
    assert accuracy(found).top1 <= 1 / 6
    mended = accuracy(guidegen.classify(written, **given, ignore_text=True))
    assert mended.top1 >= 5 / 6


def test_without_the_package_it_is_one_line_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'guidegen\[ocr\]'"):
        guidegen.classify(tmp_path, ["a", "b"], ignore_text=True)

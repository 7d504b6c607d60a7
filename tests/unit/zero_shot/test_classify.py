"""Zero-shot classification against open_clip's own way, and what it does with odd input."""

import open_clip
import pytest
import torch
from PIL import Image

import guidegen
from guidegen.clip.templates import IMAGENET
from guidegen.errors import ConfigError, InputImageError
from guidegen.weights.store import embedded
from guidegen.zero_shot.classify import accuracy
from guidegen.zero_shot.labels import read_labels
from tests.helpers.tiny_clip import make_tiny_clip

LABELS = ["a red apple", "a dog", "the sea"]


def theirs(spec, path, template):
    """Probabilities as open_clip's documentation computes them."""
    model, transform = open_clip.create_model_from_pretrained(spec)
    tokenizer = open_clip.get_tokenizer(spec)
    eighty = open_clip.OPENAI_IMAGENET_TEMPLATES
    templates = eighty if template == IMAGENET else [template or "{}"]
    model.eval()
    with torch.no_grad(), Image.open(path) as image:
        weights = open_clip.build_zero_shot_classifier(model, tokenizer, LABELS, templates)
        features = model.encode_image(transform(image)[None], normalize=True)
        shares = (model.logit_scale.exp() * features @ weights).softmax(-1)[0]
    return dict(zip(LABELS, shares.tolist(), strict=True))


def ours(spec, path, template):
    (found,) = guidegen.classify(path, LABELS, template=template, perceptor=spec, device="cpu")
    return dict(zip(found.labels, found.probabilities, strict=True))


@pytest.mark.parametrize("template", ["", "a photo of {}", IMAGENET])
@pytest.mark.parametrize("size", [(70, 40), (32, 32)])
def test_probabilities_are_those_of_open_clip(tmp_path, tiny, picture, template, size):
    path = picture(tmp_path / "a.png", size=size)
    wanted = theirs(tiny, path, template)
    found = ours(tiny, path, template)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert list(found) == sorted(wanted, key=wanted.get, reverse=True)


@pytest.mark.slow
def test_probabilities_of_the_embedded_model_are_those_of_open_clip(tmp_path, picture):
    path = picture(tmp_path / "a.png", size=(90, 70))
    wanted = theirs(f"local-dir:{embedded('clip')}", path, "a drawing of {}")
    assert ours("embedded", path, "a drawing of {}") == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("mode", ["squash", "longest"])
def test_pictures_are_made_square_as_the_model_was_trained(tmp_path, picture, mode):
    spec = f"local-dir:{make_tiny_clip(tmp_path / 'clip', preprocess={'resize_mode': mode})}"
    path = picture(tmp_path / "a.png", size=(70, 40))
    assert ours(spec, path, "") == pytest.approx(theirs(spec, path, ""), abs=1e-5)


def test_a_broken_picture_stops_only_itself(tmp_path, tiny, picture):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not a picture")
    picture(tmp_path / "c.png")
    found = guidegen.classify(tmp_path, LABELS, perceptor=tiny, top=1)
    assert [each.path.name for each in found] == ["a.png", "b.png", "c.png"]
    assert [len(each.labels) for each in found] == [1, 0, 1]
    assert "b.png can't be read" in found[1].error


def test_more_pictures_than_a_batch_come_in_order(tmp_path, tiny, picture):
    for number in range(40):
        picture(tmp_path / f"{number:02}.png", size=(12 + number, 12))
    found = guidegen.classify(tmp_path, LABELS, perceptor=tiny)
    alone = guidegen.classify(tmp_path / "39.png", LABELS, perceptor=tiny)
    assert [each.path.stem for each in found] == [f"{number:02}" for number in range(40)]
    assert found[39].probabilities == pytest.approx(alone[0].probabilities, abs=1e-5)


@pytest.mark.slow
def test_accuracy_is_over_the_folders_that_pictures_lie_in(tmp_path, picture):
    for label, color in (("a red circle", "red"), ("a blue circle", "blue")):
        picture(tmp_path / label / "a.png", color)
    picture(tmp_path / "a blue circle" / "wrong.png", "red")
    figures = accuracy(guidegen.classify(tmp_path, tmp_path))
    assert figures.pictures == 3
    assert figures.top1 == pytest.approx(2 / 3)
    assert figures.top5 == 1
    assert figures.confusions == (("a blue circle", "a red circle", 1),)


def test_labels_come_from_words_files_folders_and_imagenet(tmp_path):
    (tmp_path / "labels.txt").write_text("# some\na cat\n\n a dog \n")
    (tmp_path / "data" / "owl").mkdir(parents=True)
    assert read_labels("a cat, a dog,") == ["a cat", "a dog"]
    assert read_labels(tmp_path / "labels.txt") == ["a cat", "a dog"]
    assert read_labels(tmp_path / "data") == ["owl"]
    labels = read_labels("imagenet")
    assert len(set(labels)) == len(labels) > 990


@pytest.mark.parametrize(("given", "why"), [
    ("", "labels: none in"), (",", "labels: none in"), ("a,b,a", "twice"),
    ("none.txt", "no file of labels"),
])  # fmt: skip
def test_labels_that_can_not_be_used_are_refused(given, why):
    with pytest.raises(ConfigError, match=why):
        read_labels(given)


def test_what_is_not_there_is_refused_before_the_model_is_loaded(tmp_path, monkeypatch, picture):
    monkeypatch.setattr(
        "guidegen.zero_shot.classify.open_clip_model", lambda *_: pytest.fail("loaded")
    )
    with pytest.raises(InputImageError, match="no picture or folder"):
        guidegen.classify(tmp_path / "none.png", LABELS)
    with pytest.raises(InputImageError, match="no pictures"):
        guidegen.classify(tmp_path, LABELS)
    with pytest.raises(ConfigError, match="where the label goes"):
        guidegen.classify(picture(tmp_path / "a.png"), LABELS, template="a photo")

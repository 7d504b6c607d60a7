"""Captions from a vocabulary."""

import pytest

import guidegen
from guidegen.zero_shot.caption import compose, read_vocabulary
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import encode

NAMES = ["circle", "square", "owl", "lighthouse", "guitar"]


@pytest.mark.slow
def test_a_red_disc_is_called_red_and_round(tmp_path, picture):
    path = picture(tmp_path / "a.png", "red", (128, 128))
    (found,) = guidegen.caption(path, vocabulary=NAMES, top=2)
    assert found.names[0][0] == "circle"
    assert len(found.names) == 2
    assert "red" in found.prompt
    assert "circle" in found.prompt
    assert found.similarity > found.names[0][1]


def test_the_prompt_is_as_near_as_it_says_and_nearer_than_the_first_name(tmp_path, tiny, picture):
    model = open_clip_model(tiny)
    (each,) = encode([picture(tmp_path / "a.png")], model)
    prompt, similarity = compose(model, each.feature, NAMES)
    assert similarity == pytest.approx(
        float(model.encode_text([prompt])[0] @ each.feature), abs=1e-5
    )
    assert similarity >= float(model.encode_text(NAMES[:1])[0] @ each.feature) - 1e-5


def test_a_broken_picture_stops_only_itself(tmp_path, tiny, picture):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    found = guidegen.caption(tmp_path, vocabulary="a cat,a dog", perceptor=tiny)
    assert [bool(each.error) for each in found] == [False, True]


def test_the_drawings_of_the_collage_are_a_vocabulary():
    words = read_vocabulary("drawings")
    assert "red apple" in words
    assert len(set(words)) == len(words) > 500


def test_wordnets_nouns_are_vocabularies_of_things_to_be_seen():
    usual, every = read_vocabulary("nouns"), read_vocabulary("all-nouns")
    assert len(usual) == 3445
    assert len(set(every)) == len(every) == 37671
    assert {"owl", "guitar", "woman"} <= set(usual)
    assert {"lighthouse", "grand piano"} <= set(every) - set(usual)
    assert not {"freedom", "paris", "Paris", "abolitionist", "monday"} & set(every)


def test_a_vocabulary_is_computed_once_and_kept(tmp_path, tiny, picture, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path / "cache"))
    path = picture(tmp_path / "a.png")
    first = guidegen.caption(path, vocabulary=NAMES, perceptor=tiny)
    (kept,) = (tmp_path / "cache" / "features").iterdir()
    before = kept.stat().st_mtime_ns
    assert guidegen.caption(path, vocabulary=NAMES, perceptor=tiny) == first
    assert kept.stat().st_mtime_ns == before

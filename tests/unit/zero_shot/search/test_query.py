"""Pictures of a folder by words, by pictures, or by both."""

import pytest

import guidegen
from guidegen.errors import ConfigError, InputImageError, PromptSyntaxError
from guidegen.zero_shot.search import index as module
from guidegen.zero_shot.search import query as engine


def names(hits):
    return [hit.path.stem for hit in hits]


@pytest.mark.slow
def test_words_find_the_picture_that_they_name(folder):
    for color in ("red", "blue", "yellow"):
        assert names(guidegen.search(folder, f"a {color} circle", top=1)) == [color]


def test_a_picture_finds_itself_and_weights_look_away(folder, tiny):
    red = folder / "red.png"
    assert names(guidegen.search(folder, images=[red], perceptor=tiny, top=1)) == ["red"]
    away = guidegen.search(folder, images=[f"{red}:-1"], perceptor=tiny, top=5)
    assert names(away)[-1] == "red"
    near = guidegen.search(folder, images=[red], perceptor=tiny, top=5)
    assert [hit.similarity for hit in near] == pytest.approx(
        [-hit.similarity for hit in away[::-1]], abs=1e-3
    )


def test_a_folder_that_can_not_be_written_is_indexed_in_the_cache(
    folder, tiny, monkeypatch, tmp_path
):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    assert len(guidegen.search(folder, "a", perceptor=tiny)) == 5
    assert not list(folder.glob(".guidegen*"))
    assert list((tmp_path / "cache" / "search").glob("*.sqlite"))


def test_what_can_not_be_found_is_refused_before_work(folder, monkeypatch):
    monkeypatch.setattr(engine, "open_clip_model", lambda *_: pytest.fail("loaded"))
    for words, error in (
        ((folder / "none", "a"), InputImageError),
        ((folder, ""), ConfigError),
        ((folder, "a | b:5x"), PromptSyntaxError),
    ):
        with pytest.raises(error):
            guidegen.search(*words)
    with pytest.raises(InputImageError, match="no picture at"):
        guidegen.search(folder, images=["none.png"])

"""The index of a folder: up to date by itself, exact, and whole whatever happens."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import guidegen
from guidegen.errors import ConfigError, InputImageError, PromptSyntaxError
from guidegen.zero_shot import index as module
from guidegen.zero_shot import search as engine
from guidegen.zero_shot.index import Index, State
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.page import write_page
from guidegen.zero_shot.search import Hit, bring_up_to_date, duplicates, open_index

COLORS = ["red", "blue", "green", "yellow", "black"]


@pytest.fixture
def folder(tmp_path, picture):
    for color in COLORS:
        picture(tmp_path / "discs" / f"{color}.png", color)
    return tmp_path / "discs"


def names(hits):
    return [hit.path.stem for hit in hits]


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


def looked_at(folder, spec):
    model = open_clip_model(spec)
    index = open_index(folder, model)
    steps = list(bring_up_to_date(folder, index, model))
    index.close()
    return steps


def test_only_what_is_new_or_changed_is_looked_at_again(folder, tiny, picture):
    assert len(looked_at(folder, tiny)) == 5
    assert looked_at(folder, tiny) == []
    picture(folder / "deep" / "white.png", "white")
    picture(folder / "red.png", "orange", size=(48, 48))
    (folder / "blue.png").unlink()
    assert len(looked_at(folder, tiny)) == 2
    hits = guidegen.search(folder, images=[folder / "red.png"], perceptor=tiny, top=9)
    assert sorted(names(hits)) == ["black", "green", "red", "white", "yellow"]
    assert hits[0].path == folder / "red.png"
    assert hits[0].similarity == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_a_broken_picture_is_told_once_and_a_bomb_is_one_line(folder, tiny):
    (folder / "broken.png").write_bytes(b"nothing")
    Image.new("1", (30000, 30000)).save(folder / "bomb.png")
    errors = [step.error for step in looked_at(folder, tiny) if step.error]
    assert len(errors) == 2
    assert any("megapixels" in error for error in errors)
    assert looked_at(folder, tiny) == []


def test_another_model_has_an_index_of_its_own(folder, tiny, other):
    assert len(looked_at(folder, tiny)) == 5
    assert len(looked_at(folder, other)) == 5
    assert looked_at(folder, tiny) == []


def test_a_damaged_index_is_made_anew(folder, tiny, caplog):
    looked_at(folder, tiny)
    (path,) = folder.glob(".guidegen-search-*.sqlite")
    path.write_bytes(b"not a database" * 1000)
    assert len(looked_at(folder, tiny)) == 5
    assert "is damaged" in caplog.text


def test_a_folder_that_can_not_be_written_is_indexed_in_the_cache(
    folder, tiny, monkeypatch, tmp_path
):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    assert len(guidegen.search(folder, "a", perceptor=tiny)) == 5
    assert not list(folder.glob(".guidegen*"))
    assert list((tmp_path / "cache" / "search").glob("*.sqlite"))


def vectors(count, dim=16, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=rng), dim=1)


def fill(path, rows):
    index = Index(path, rows.shape[1], "d")
    index.add({f"{i:05}": (State(1, i), row) for i, row in enumerate(rows)})
    return index


def test_the_nearest_of_many_chunks_are_the_exact_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 32)
    rows = vectors(100)
    index = fill(tmp_path / "x.sqlite", rows)
    index.remove([f"{i:05}" for i in range(0, 100, 3)])
    index.add({"new": (State(1, 1), rows[0])})
    query = vectors(1, seed=1)[0]
    left = [i for i in range(100) if i % 3]
    exact = sorted(
        [(float(rows[i] @ query), f"{i:05}") for i in left] + [(float(rows[0] @ query), "new")]
    )
    found = index.nearest(query, 10)
    assert [path for path, _ in found] == [path for _, path in exact[::-1][:10]]
    assert [value for _, value in found] == pytest.approx(
        [v for v, _ in exact[::-1][:10]], abs=2e-3
    )
    assert len(index.nearest(query, 1000)) == len(index) == 67


def test_pictures_that_are_alike_are_grouped(tmp_path):
    rows = vectors(6)
    rows[3] = rows[0]
    rows[5] = F.normalize(rows[1] + 0.01 * rows[2], dim=0)
    groups = duplicates(fill(tmp_path / "x.sqlite", rows), threshold=0.99)
    assert [[path for path, _ in group] for group in groups] == [
        ["00000", "00003"],
        ["00001", "00005"],
    ]


INDEXER = """
import sys
from pathlib import Path
from guidegen.zero_shot import search
search._COMMIT = 8
folder = Path(sys.argv[1])
model = search.open_clip_model(sys.argv[2])
index = search.open_index(folder, model)
for step in search.bring_up_to_date(folder, index, model):
    print(step.done, flush=True)
"""


def start(folder, tiny):
    return subprocess.Popen(
        [sys.executable, "-c", INDEXER, folder, tiny], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def many(tmp_path, picture):
    for number in range(120):
        picture(tmp_path / "many" / f"{number:03}.png", COLORS[number % 5], (32, 32 + number % 7))
    return tmp_path / "many"


@pytest.mark.slow
def test_killed_while_indexing_nothing_that_was_kept_is_lost(many, tiny):
    process = start(many, tiny)
    for line in process.stdout:
        if int(line) >= 40:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    index = open_index(many, open_clip_model(tiny))
    kept = len(index)
    assert kept >= 32
    index.close()
    assert len(looked_at(many, tiny)) == 120 - kept
    assert len(guidegen.search(many, "a", perceptor=tiny, top=200)) == 120


@pytest.mark.slow
def test_two_indexers_at_once_lose_nothing(many, tiny):
    both = [start(many, tiny) for _ in range(2)]
    time.sleep(0.1)
    (many / "119.png").unlink()
    for process in both:
        process.communicate(timeout=240)
        assert process.returncode == 0
    hits = guidegen.search(many, "a", perceptor=tiny, top=200)
    assert len({hit.path for hit in hits}) == len(hits) == 119


def test_the_page_shows_what_was_found(tmp_path):
    page = write_page(tmp_path / "x.html", "a <cat>", [Hit(tmp_path / "a b&c.png", 0.5)])
    text = page.read_text()
    assert "a &lt;cat&gt;" in text
    assert "a%20b%26c.png" in text
    assert "0.500 a b&amp;c.png" in text


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

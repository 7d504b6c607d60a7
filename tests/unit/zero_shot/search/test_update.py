"""The index follows its folder, whatever happens meanwhile."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from PIL import Image

import guidegen
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.search.query import open_index
from guidegen.zero_shot.search.update import bring_up_to_date
from tests.unit.zero_shot.search.conftest import COLORS


def names(hits):
    return [hit.path.stem for hit in hits]


def test_only_what_is_new_or_changed_is_looked_at_again(looked_at, folder, tiny, picture):
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
def test_a_broken_picture_is_told_once_and_a_bomb_is_one_line(looked_at, folder, tiny):
    (folder / "broken.png").write_bytes(b"nothing")
    Image.new("1", (30000, 30000)).save(folder / "bomb.png")
    errors = [step.error for step in looked_at(folder, tiny) if step.error]
    assert len(errors) == 2
    assert any("megapixels" in error for error in errors)
    assert looked_at(folder, tiny) == []


def test_another_model_has_an_index_of_its_own(looked_at, folder, tiny, other):
    assert len(looked_at(folder, tiny)) == 5
    assert len(looked_at(folder, other)) == 5
    assert looked_at(folder, tiny) == []


def test_a_damaged_index_is_made_anew(looked_at, folder, tiny, caplog):
    looked_at(folder, tiny)
    (path,) = folder.glob(".guidegen-search-*.sqlite")
    path.write_bytes(b"not a database" * 1000)
    assert len(looked_at(folder, tiny)) == 5
    assert "is damaged" in caplog.text


def test_what_changes_while_it_is_indexed_the_next_call_sees(looked_at, folder, tiny, picture):
    model = open_clip_model(tiny)
    index = open_index(folder, model)
    steps = bring_up_to_date(folder, index, model)
    next(steps)
    picture(folder / "new.png", "white")
    picture(folder / "red.png", "orange", size=(48, 48))
    (folder / "blue.png").unlink()
    assert not any(step.error for step in steps)
    index.close()
    assert {step.total for step in looked_at(folder, tiny)} == {2}
    hits = guidegen.search(folder, images=[folder / "red.png"], perceptor=tiny, top=9)
    assert sorted(names(hits)) == ["black", "green", "new", "red", "yellow"]
    assert hits[0].similarity == pytest.approx(1, abs=1e-3)


INDEXER = """
import sys
from pathlib import Path
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.search import query, update
update._COMMIT = 8
folder = Path(sys.argv[1])
model = open_clip_model(sys.argv[2])
index = query.open_index(folder, model)
for step in update.bring_up_to_date(folder, index, model):
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
def test_killed_at_any_moment_what_was_kept_is_whole_and_the_next_call_goes_on(
    looked_at, many, tiny
):
    rng, kept = random.Random(0), 0
    for _ in range(3):
        process, stop = start(many, tiny), rng.randrange(1, 40)
        for number, _ in enumerate(process.stdout):
            if number >= stop:
                time.sleep(rng.random() / 20)  # between two lines as well
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with closing(sqlite3.connect(next(many.glob("*.sqlite")))) as base:
            assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        index = open_index(many, open_clip_model(tiny))
        assert len(index) >= kept
        kept = len(index)
        index.close()
    assert kept >= 8
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

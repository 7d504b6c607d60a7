"""The benchmark of painted pictures: tasks shared by processes, and what is kept."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.benchmarks import paint
from tests.benchmarks.judging import Results
from tests.benchmarks.workers import work_off
from tests.helpers.tiny_clip import make_tiny_clip


def square(number):
    if number < 0:
        raise ValueError("no root")
    time.sleep(0.01)  # so that no process does all of it
    return {str(number): {"square": number**2, "process": os.getpid()}}


def test_a_task_that_fails_does_not_keep_the_others_from_being_done(tmp_path, capsys):
    results = Results(tmp_path / "results.jsonl")
    assert work_off([2, -1, 3], square, results) == 1
    assert [row["square"] for row in Results(tmp_path / "results.jsonl").rows.values()] == [4, 9]
    assert "failed: -1: no root" in capsys.readouterr().err


def test_no_task_is_begun_when_the_time_is_over(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    assert work_off(range(100), square, results, seconds=0.035) >= 95
    assert list(results.rows) == [str(i) for i in range(len(results.rows))]


@pytest.mark.slow
def test_processes_share_the_tasks(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    assert work_off([*range(20), -1], square, results, processes=2) == 1
    assert {row["square"] for row in results.rows.values()} == {i**2 for i in range(20)}
    assert os.getpid() not in {row["process"] for row in results.rows.values()}


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Two variants of two prompts, painted together; the arguments that did it."""
    folder = tmp_path_factory.mktemp("paint")
    guide, judge = (make_tiny_clip(folder / f"clip{seed}", seed=seed) for seed in (1, 2))
    words = [str(folder / "results.jsonl"), "from paper", "3 views", "--prompts", "2"]
    words += ["--size", "32", "--steps", "1", "--together", "2", "--judge", f"local-dir:{judge}"]
    words += ["--perceptor", f"local-dir:{guide}"]
    variants = {
        "from paper": {"start_from": "none"},
        "3 views": {"start_from": "none", "cutouts": 3},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paint, "VARIANTS", variants)
        patch.setattr(paint, "all_prompts", lambda: ["a red apple", "a puppy", "a cat", "a key"])
        patch.setattr(paint, "named_things", lambda: ["a red apple", "a cat", "a key"])
        assert paint.main(words) == 0
        yield words


def test_each_picture_of_each_variant_has_its_own_figures(painted):
    rows = rows_of(painted)
    assert [(key["prompt"], key["variant"]) for key, _ in rows] == [
        ("a red apple", "from paper"),
        ("a puppy", "from paper"),
        ("a red apple", "3 views"),
        ("a puppy", "3 views"),
    ]
    assert [("first of the named" in figures) for _, figures in rows] == [True, False] * 2
    assert len({figures["cosine"] for _, figures in rows}) == 4


def test_what_is_there_is_reported_and_not_painted_again(painted, monkeypatch, capsys):
    monkeypatch.setattr(paint, "generate", lambda *a, **k: pytest.fail("painted again"))
    assert paint.main(painted) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["from paper", "3 views"]
    assert "of 2, " in lines[1]
    assert paint.main([*painted, "--seeds", "2", "--limit", "0"]) == 1  # there was no time for it


def rows_of(words):
    return [(json.loads(key), figures) for key, figures in Results(Path(words[0])).rows.items()]

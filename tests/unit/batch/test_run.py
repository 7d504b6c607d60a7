"""A prompt list drawn on this machine."""

import csv
import json
import os
from contextlib import closing

import pytest
import torch

from guidegen.batch.prompt_list import PromptList
from guidegen.batch.run import Local, run_list
from guidegen.batch.tasks import tasks
from guidegen.config import make_config
from guidegen.engine import generate as engine
from guidegen.errors import OutputError
from guidegen.utils import failpoints
from guidegen.utils.locks import locked
from tests.helpers.lists import draw, fast, pictures, rows
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return fast(make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny"))


@pytest.fixture
def fail(monkeypatch):
    def at(plan):
        failpoints._reached.clear()
        monkeypatch.setenv("GUIDEGEN_FAILPOINT", plan)

    yield at
    failpoints._reached.clear()


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "things.txt"
    path.write_text("a cat\n\na dog\nan owl\n")
    return path


def status(results):
    return [(result.line, result.seed, result.status, result.reused) for result in results]


def test_a_list_becomes_pictures_results_and_a_gallery(tmp_path, settings, listed):
    folder = tmp_path / "out"
    results = draw(listed, folder, settings, count=2)
    assert status(results) == [
        (line, seed, "finished", False) for line in (1, 3, 4) for seed in (0, 1)
    ]
    assert [row["job"] for row in rows(folder)] == list(range(6))
    assert len(pictures(folder)) == 6
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [line["prompt"] for line in table] == ["a cat"] * 2 + ["a dog"] * 2 + ["an owl"] * 2
    for result, line in zip(results, table, strict=True):
        assert (folder / line["image"]).is_file()
        assert (folder / result.thumbnail).is_file()
        assert float(line["loss"]) == result.scores["loss"]
    assert (folder / "index.html").is_file()
    assert (folder / "contact-sheet.png").is_file()
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_the_same_pictures_as_one_by_one(tmp_path, settings, listed):
    draw(listed, tmp_path / "out", settings)
    for line in ("a cat", "a dog", "an owl"):
        config = make_config({**settings, "prompt": line, "out": tmp_path / "alone"})
        list(engine.generate([config]))
    assert pictures(tmp_path / "out") == pictures(tmp_path / "alone")


@pytest.mark.slow
def test_a_second_call_draws_nothing_again(tmp_path, settings, listed):
    folder = tmp_path / "out"
    draw(listed, folder, settings)
    before = rows(folder), (folder / "results.jsonl").stat().st_size
    assert all(result.reused for result in draw(listed, folder, settings))
    assert (rows(folder), (folder / "results.jsonl").stat().st_size) == before
    assert not any(result.reused for result in draw(listed, folder, settings, force=True))


@pytest.mark.slow
def test_a_longer_list_draws_only_what_is_new(tmp_path, settings, listed):
    folder = tmp_path / "out"
    draw(listed, folder, settings)
    listed.write_text("a ship\na dog\n")
    results = {result.prompt: result.reused for result in draw(listed, folder, settings)}
    assert results == {"a ship": False, "a dog": True}
    assert [(row["job"], row["line"], row["prompt"]) for row in rows(folder)] == [
        (0, 1, "a ship"),
        (1, 2, "a dog"),
    ]


@pytest.mark.slow
def test_one_bad_prompt_stops_only_itself(tmp_path, settings, listed, fail):
    folder = tmp_path / "out"
    # in the batch of three, and alone
    fail("job@a dog#0:1:raise;job@a dog#1:1:raise")
    results = draw(listed, folder, settings)
    assert sorted(status(results)) == [
        (1, 0, "finished", False), (3, 0, "failed", False), (4, 0, "finished", False),
    ]  # fmt: skip
    (bad,) = [row for row in rows(folder) if row["status"] == "failed"]
    assert (bad["line"], bad["prompt"]) == (3, "a dog")
    assert bad["error"] == "RuntimeError: fail-point job@a dog#1"
    assert "fail-point" in (folder / "index.html").read_text()
    # it is told again, but only tried when it is asked for
    again = draw(listed, folder, settings)
    assert sorted(status(again)) == [
        (1, 0, "finished", True), (3, 0, "failed", True), (4, 0, "finished", True),
    ]  # fmt: skip
    assert status(draw(listed, folder, settings, retry_failed=True)) == [(3, 0, "finished", False)]
    assert [row["status"] for row in rows(folder)] == ["finished"] * 3
    assert draw(listed, folder, settings, retry_failed=True) == []


@pytest.mark.slow
def test_a_run_directory_that_another_process_holds_fails_alone(tmp_path, settings, listed):
    folder = tmp_path / "out"
    draw(listed, folder, settings)
    (dog,) = folder.glob("a-dog-*")
    manifest = json.loads((dog / "run.json").read_text())
    (dog / "run.json").write_text(json.dumps({**manifest, "status": "running"}))
    with locked(dog, "the same picture"):
        results = draw(listed, folder, settings)
    (bad,) = [result for result in results if result.status == "failed"]
    assert bad.prompt == "a dog"
    assert f"process {os.getpid()}" in bad.error


@pytest.mark.slow
def test_out_of_memory_draws_half_as_many_at_once(tmp_path, settings, listed, monkeypatch):
    widths = []
    whole = engine.generate

    def small(configs, **options):
        widths.append(len(configs))
        if len(configs) > 1:
            raise torch.OutOfMemoryError("no room")
        return whole(configs, **options)

    monkeypatch.setattr("guidegen.batch.tasks.make_pictures", small)
    listed.write_text("a\nb\nc\nd\n")
    assert {result.status for result in draw(listed, tmp_path / "out", settings)} == {"finished"}
    assert widths == [4, 2, 1, 1, 2, 1, 1]


def test_only_one_process_draws_into_a_folder(tmp_path, settings, listed):
    folder = tmp_path / "out"
    folder.mkdir()
    with (
        locked(folder, "this list"),
        pytest.raises(OutputError, match=rf"process {os.getpid()}.*this list"),
    ):
        draw(listed, folder, settings)
    assert not (folder / "results.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    ["append@results.jsonl:2", "write@image.png:2", "write@index.html:1", "rename@results.jsonl:1",
     "fsync@results.csv:1", "write@contact-sheet.png:1", "create@run.json:3"],
)  # fmt: skip
def test_a_full_disk_stops_the_list_and_loses_nothing(tmp_path, settings, listed, fail, place):
    folder, whole = tmp_path / "out", tmp_path / "whole"
    fail(f"{place}:enospc")
    with pytest.raises(OutputError, match="No space left"):
        draw(listed, folder, settings)
    fail("")
    assert not any(row["status"] == "failed" for row in rows(folder))
    draw(listed, folder, settings)
    draw(listed, whole, settings)
    assert pictures(folder) == pictures(whole)
    assert [row["job"] for row in rows(folder)] == [0, 1, 2]


@pytest.mark.slow
def test_a_torn_or_damaged_line_of_the_results_costs_nothing(tmp_path, settings, listed):
    folder = tmp_path / "out"
    draw(listed, folder, settings)
    path = folder / "results.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for damaged in [whole[:-20], b"{}\nno json\n" + whole, lines[0] + b"[]\n" + lines[2][:9], b""]:
        path.write_bytes(damaged)
        assert all(result.reused for result in draw(listed, folder, settings))
        assert path.read_bytes() == whole


@pytest.mark.slow
def test_each_line_may_have_its_own_settings(tmp_path, settings):
    path = tmp_path / "l.csv"
    path.write_text("prompt,steps,size\na cat,1,\na dog,,48\nan owl,1,\n")
    results = draw(path, tmp_path / "out", settings)
    assert {result.status for result in results} == {"finished"}
    configs = [
        json.loads(file.read_text())["config"] for file in (tmp_path / "out").glob("*/run.json")
    ]
    assert {(c["prompt"], c["steps"], c["size"]) for c in configs} == {
        ("a cat", 1, "32"), ("a dog", 2, "48"), ("an owl", 1, "32"),
    }  # fmt: skip
    # what fits together advances together
    jobs = PromptList(path, settings)
    jobs.check()
    together = [
        [job.line for job in task.jobs] for task in tasks(jobs.jobs(), width=8, force=False)
    ]
    assert together == [[2, 4], [3]]


def test_a_consumer_that_stops_early_leaves_all_in_order(tmp_path, settings, listed):
    folder = tmp_path / "out"
    jobs = PromptList(listed, {**settings, "out": folder})
    jobs.check()
    with closing(run_list(jobs, folder, Local())) as results:
        next(results)
    assert not (folder / ".lock").exists()
    assert len(draw(listed, folder, settings)) == 3


FORMULAS = ["=1+1", "+cmd", "-2 degrees", "@SUM(1)", "\t=1", "\uff1d1", "-"]


@pytest.mark.slow
def test_no_cell_of_the_table_is_a_formula_and_the_lines_keep_every_letter(tmp_path, settings):
    path = tmp_path / "list.jsonl"
    lines = [{"prompt": f"x {n}", "id": text} for n, text in enumerate(FORMULAS)]
    lines.append({"prompt": "=HYPERLINK(1)", "negative": ["=2"], "id": "a = b"})
    path.write_text("\n".join(map(json.dumps, lines)))
    draw(path, tmp_path / "out", settings)
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    told = rows(tmp_path / "out")
    for text, line, row in zip(FORMULAS, table, told, strict=False):
        assert line["id"] == f"'{text.strip()}"
        assert row["id"] == text.strip()
    assert (table[-1]["prompt"], table[-1]["negative"]) == ("'=HYPERLINK(1)", "'=2")
    assert table[-1]["id"] == "a = b"
    assert told[-1]["prompt"] == "=HYPERLINK(1)"
    assert float(table[0]["loss"])  # figures stay figures


@pytest.mark.slow
def test_a_damaged_picture_heals_with_the_same_command(tmp_path, settings, listed):
    folder = tmp_path / "out"
    whole = draw(listed, folder, settings)
    before = pictures(folder)
    path = folder / whole[1].image
    path.write_bytes(path.read_bytes()[:-30])
    again = draw(listed, folder, settings)
    assert sorted(result.reused for result in again) == [False, True, True]
    assert all(result.status == "finished" for result in again)
    assert pictures(folder) == before

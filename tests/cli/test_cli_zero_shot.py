"""The commands that look at pictures, as people type them."""

import csv
import json

import pytest
from PIL import Image

from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'))}"


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (32, 32), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    return tmp_path


def test_classify_prints_a_table_and_names_what_it_can_not_read(run, folder, tiny):
    outcome = run("classify", ".", "--labels", "a cat,a dog", "--perceptor", tiny)
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split() == ["picture", "label", "then"]
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == ["a.png", "b.png"]
    assert "broken.png can't be read" in outcome.err


def test_classify_speaks_json_and_csv(run, folder, tiny):
    words = ("classify", "a.png", "-l", "a cat,a dog", "--perceptor", tiny)
    line = json.loads(run(*words, "--json").out)
    assert sum(line["labels"].values()) == pytest.approx(1)
    rows = list(csv.DictReader(run(*words, "--csv", "-k", 1).out.splitlines()))
    assert len(rows) == 1
    assert float(rows[0]["probability"]) == pytest.approx(max(line["labels"].values()), abs=1e-5)


def test_classify_tells_accuracy_with_and_without_the_template(run, folder, tiny):
    for label in ("a cat", "a dog"):
        (folder / "data" / label).mkdir(parents=True)
        Image.new("RGB", (32, 32), "teal").save(folder / "data" / label / "x.png")
    outcome = run(
        "classify", "data", "--accuracy", "--template", "a photo of {}", "--perceptor", tiny
    )
    lines = outcome.out.splitlines()
    assert lines[1].split() == ["none", "2", "50.0%", "100.0%"]
    assert lines[2].endswith("2         50.0%  100.0%")


def test_score_prints_similarity_and_rank(run, folder, tiny):
    (folder / "others.txt").write_text("a dog\nan owl\n")
    words = ("score", "a.png", "b.png", "-p", "a red square", "--perceptor", tiny)
    outcome = run(*words, "--among", "others.txt", "--json")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["path"] for row in rows] == ["a.png", "b.png"]
    assert 1 <= rows[0][f"rank {tiny}"] <= 3
    assert "R-precision" in outcome.err


def test_embed_writes_what_it_says(run, folder, tiny):
    outcome = run("embed", ".", "--text", "a cat", "-o", "x.safetensors", "--perceptor", tiny)
    assert outcome.code == 0
    assert outcome.out == "x.safetensors\n"
    assert len((folder / "x.jsonl").read_text().splitlines()) == 3
    assert "broken.png can't be read" in outcome.err


@pytest.mark.parametrize(("words", "code", "why"), [
    (["classify"], 2, "name a picture"),
    (["classify", "a.png"], 2, "name the labels"),
    (["classify", "a.png", "-l", "a,b", "-k", "0"], 2, "at least 1"),
    (["classify", "a.png", "-l", "a,b", "--json", "--csv"], 2, "choose one"),
    (["classify", "none.png", "-l", "a,b"], 7, "no picture or folder"),
    (["classify", "a.png", "-l", "a,b", "--perceptor", "local-dir:none"], 5, "no folder none"),
    (["score", "a.png", "-p", "a", "--device", "gpu"], 2, "is no device"),
    (["score"], 2, "name a picture"),
    (["embed"], 2, "name pictures or texts"),
    (["embed", "a.png", "-o", "x.csv"], 2, "--out: name a .safetensors"),
])  # fmt: skip
def test_what_can_not_be_done_is_said_in_one_line(run, folder, words, code, why):
    outcome = run(*words)
    assert outcome.code == code
    assert why in outcome.err
    assert outcome.err.count("\n") == 1
    assert not outcome.out


def test_a_picture_that_tells_no_prompt_has_no_score(run, folder, tiny):
    outcome = run("score", "a.png", "--perceptor", tiny)
    assert outcome.code == 7
    assert "does not tell it" in outcome.err


def test_search_among_runs_shows_their_prompts_and_writes_a_page(run, folder, tiny):
    drawn = run(
        "a <red> disc", "-g", "pixels", "--size", 16, "--steps", 1, "--starts", 1, "--cutouts", 1,
        "--perceptor", tiny,
    )  # fmt: skip
    (picture,) = drawn.out.split("\n")[:1]
    words = ("search", "outputs", "a disc", "--runs", "--perceptor", tiny)
    outcome = run(*words, "--html", "x.html")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].split() == ["run", "prompt", "similarity"]
    (line,) = outcome.out.splitlines()[1:]
    assert line.startswith(picture.rpartition("/")[0])
    assert "a <red> disc" in line
    page = (folder / "x.html").read_text()
    assert "a &lt;red&gt; disc" in page
    assert page.count("<figure>") == 1  # the preview is no run's picture
    (row,) = map(json.loads, run(*words, "--json").out.splitlines())
    assert row["prompt"] == "a <red> disc"
    assert set(row) == {"run", "prompt", "similarity"}

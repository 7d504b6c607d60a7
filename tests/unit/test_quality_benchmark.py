"""The benchmark of quality: what it draws, judges, keeps and reports."""

import json

import pytest

from guidegen.prompt.grammar import parse_prompt
from tests.benchmarks import quality
from tests.benchmarks.suites import SuiteError, as_written, read_suite
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two of three prompts of a suite, drawn and reported; the folder and the words that did it."""
    folder = tmp_path_factory.mktemp("quality")
    suite = folder / "suite.tsv"
    suite.write_text("Prompt\tCategory\na <fox>: 2\tAnimals\na red cup\tThings\na hill\tPlaces\n")
    guide, judge = (make_tiny_clip(folder / f"clip{seed}", seed=seed) for seed in (1, 2))
    words = ["--suite", "parti", "--suite-file", str(suite), "--generator", "pixels"]
    words += ["--perceptor", f"local-dir:{guide}", "--judge", f"local-dir:{judge}"]
    words += ["--set", "size=16", "--set", "steps=1", "--set", "cutouts=1", "--set", "starts=1"]
    words += ["--prompts", "2", "--out", str(folder / "out")]
    assert quality.main(words) == 0
    return folder / "out", words


def test_the_report_has_every_picture_and_its_place_among_all_prompts(drawn):
    folder, _ = drawn
    found = json.loads((folder / "report.json").read_text())
    assert [one["prompt"] for one in found["pictures"]] == ["a <fox>: 2", "a red cup"]
    assert (found["ranked_among"], found["whole"]["pictures"]) == (3, 2)
    assert list(found["categories"]) == ["Animals", "Things"]
    for one in found["pictures"]:
        assert one["first"] == (one["place"] == 1) == (one["best"] == one["prompt"])
        assert min(one["seconds"], one["megabytes"]) > 0
    mean = sum(one["cosine"] for one in found["pictures"]) / 2
    assert found["whole"]["clip_score"][0] == pytest.approx(100 * mean)
    page = (folder / "report.html").read_text()
    assert "a &lt;fox&gt;: 2" in page
    for one in found["pictures"]:
        for path in (f"pictures/{one['name']}.png", f"thumbs/{one['name']}.webp"):
            assert path in page
            assert (folder / path).is_file()


def test_what_is_there_is_not_drawn_again(drawn, monkeypatch):
    folder, words = drawn
    before = json.loads((folder / "report.json").read_text())
    # what a kill in the middle of a line leaves
    with (folder / "results.jsonl").open("a") as file:
        file.write('{"key": "cut of')
    monkeypatch.setattr(quality, "generate", lambda *a, **k: pytest.fail("drawn again"))
    assert quality.main(words) == 0
    assert json.loads((folder / "report.json").read_text()) == before


def test_a_judge_that_guides_is_refused(tmp_path, capsys):
    words = ["--perceptor", "embedded@0.5", "--judge", "embedded", "--out", str(tmp_path / "out")]
    assert quality.main(words) == 2
    assert "embedded guides the pictures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("drawbench", None, "it does not ship"),
        ("parti", "Text\na\nb\nc\n", "no column Prompt"),
        ("parti", "Prompt\na\na\nb\n", "has 2 prompts"),
    ],
)
def test_a_suite_that_can_not_be_used_is_refused_in_a_line(name, text, why, tmp_path):
    path = tmp_path / "suite.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SuiteError, match=why):
        read_suite(name, path if text is not None else None)


def test_prompts_of_suites_mean_themselves():
    for text in ("a sign: 3", "one | two", r"a \ slash", "2^3"):
        (only,) = parse_prompt(as_written(text))
        assert (only.text, only.weight) == (text, 1.0)

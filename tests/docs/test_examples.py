"""The programs in examples/ run, at sizes that take no time."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK = {"size": "64", "steps": 2, "starts": 1, "cutouts": 2, "device": "cpu"}


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_four_seeds_make_a_row_nearest_first(tmp_path, capsys):
    row = load("four_seeds").main("a red apple", **QUICK, out=tmp_path)
    assert row.size == (256, 64)
    scores = [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_a_run_is_watched_and_stopped_when_it_gets_no_better(tmp_path, capsys, monkeypatch):
    module = load("watch")
    monkeypatch.setattr(module, "PATIENCE", 1)
    # a rate of nothing gets no better, but for the noise of its cutouts
    settings = {**QUICK, "steps": 200, "lr": 1e-9, "cutout_noise": 0}
    previews = module.main("a red apple", **settings, out=tmp_path)
    assert previews[0].size == (64, 64)  # never larger than the picture
    assert len(previews) < 20
    (run,) = tmp_path.glob("*/run.json")
    assert json.loads(run.read_text())["status"] == "interrupted"


@pytest.mark.slow
def test_every_generator_without_a_download_draws(tmp_path):
    module = load("every_generator")
    assert {"collage", "fourier", "pixels", "vqgan/embedded"} <= set(module.names())
    pictures = module.main("a red apple", **QUICK, out=tmp_path)
    assert set(pictures) == set(module.names())
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)


def run_cells(name, change):
    """The names that a notebook's cells leave; `change` is asked after each statement."""
    notebook = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []  # kept without: they would be old
            for node in ast.parse("".join(cell["source"])).body:
                exec(compile(ast.Module([node], []), name, "exec"), names)
                if isinstance(node, ast.Assign):
                    change(names, ast.unparse(node.targets[0]))
    return names


@pytest.mark.slow
def test_the_notebook_of_a_run_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def quick(names, assigned):
        if assigned == "settings":
            names["settings"] |= QUICK

    names = run_cells("a_run.ipynb", quick)
    assert names["picture"].image.size == (64, 64)
    assert names["image"].shape == (1, 3, 64, 64)
    assert len(names["losses"]) == 3


@pytest.mark.slow
def test_the_notebook_of_clip_as_a_tool_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_cells("clip_as_a_tool.ipynb", lambda names, assigned: None)
    assert names["shares"][""] > 0.8  # a classifier by just asking
    assert names["answers"].get(True, "red apple") == "red apple"  # the word is not followed
    found = {query: [hit.path.parent.name for hit in hits] for query, hits in names["hits"].items()}
    assert set(found["something that flies"][:2]) <= {"airplane", "rocket", "owl"}
    assert "banana" not in found["fruit | banana:-0.5"][:3]
    assert names["like"][0].path == Path("drawings/owl/0.png")
    assert names["loss"] < 0.5 * names["guess"]  # the pairs know each other
    assert max(names["right"].values()) > 0.7  # a classifier on top


def test_every_notebook_is_run():
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == {
        "a_run.ipynb",
        "clip_as_a_tool.ipynb",
    }

"""`guidegen batch` as people type it."""

import io
import json
import sys
from pathlib import Path

import pytest

from guidegen.cli.batch_progress import ListProgress, duration
from guidegen.utils import failpoints
from tests.helpers.tiny_clip import make_tiny_clip

FAST = ["-g", "pixels", "--size", "32", "--steps", "2", "--cutouts", "2", "--device", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def clip(tmp_path_factory):
    folder = make_tiny_clip(tmp_path_factory.mktemp("clip"))
    FAST.extend(["--perceptor", f"local-dir:{folder}"])
    yield folder
    del FAST[-2:]


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "My things.txt"
    path.write_text("a {colour} cat\na dog\n")
    return path


@pytest.mark.slow
def test_paths_go_to_stdout_and_the_folder_is_named_after_the_list(run, listed):
    result = run("batch", listed, "--var", "colour=red,blue", "-n", 2, *FAST)
    assert result.code == 0, result.err
    paths = [Path(line) for line in result.out.splitlines()]
    assert len(paths) == 6
    assert all(path.is_file() and path.parent.parent == Path("outputs/my-things") for path in paths)
    assert "2 prompts, 6 pictures in outputs/my-things" in result.err
    assert "6 of 6 pictures" in result.err
    assert "gallery: outputs/my-things/index.html" in result.err
    again = run("batch", listed, "--var", "colour=red,blue", "-n", 2, *FAST, "-q")
    assert (again.code, again.out, again.err) == (0, result.out, "")


@pytest.mark.slow
def test_failed_lines_are_told_and_make_the_exit_code_1(run, listed, monkeypatch):
    words = ["batch", listed, "--var", "colour=red", *FAST, "-q"]
    failpoints._reached.clear()
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", "job@a dog#0:1:raise;job@a dog#1:1:raise")
    first = run(*words)
    assert first.code == 1
    assert len(first.out.splitlines()) == 1
    assert f"{listed}:2: 'a dog' failed: RuntimeError" in first.err
    assert "1 picture of" in first.err
    assert "--retry-failed" in first.err
    second = run(*words)
    assert second.code == 1
    assert f"{listed}:2: 'a dog' failed earlier: RuntimeError" in second.err
    third = run(*words, "--retry-failed")
    assert (third.code, third.err) == (0, "")
    assert "a-dog" in third.out
    assert run(*words).code == 0


def test_all_problems_are_told_before_any_work(run, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("prompt,size,generator\na cat,10,\na dog,,pixls\nan owl,17x99,pixels\nx,,\n")
    result = run("batch", path, *FAST)
    assert result.code == 10
    assert result.out == ""
    lines = result.err.splitlines()
    assert [line.partition(": ")[0] for line in lines[:-1]] == [f"{path}:{n}" for n in (2, 3, 4)]
    assert "pixels" in lines[1]
    assert lines[-1].startswith(f"guidegen: {path}:2:")
    assert lines[-1].endswith("(and 2 more); nothing was drawn")
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--seed", "-1"], "seeds that stay"),
        (["--out", "x.png"], "--out x"),
        (["--var", "colour"], "NAME=VALUE"),
        (["-n", 0], "at least 1"),
        (["--engine", "local", "--workers", 2], "--engine ray"),
        (["--workers", 0], "--workers"),
        (["--steps", "many"], "steps"),
        ([], "no variable"),
    ],
)
def test_flags_that_can_not_be(run, listed, words, part):
    result = run("batch", listed, *FAST, *words)
    assert result.code in (2, 6, 10)
    assert part in result.err
    assert result.err.count("\n") == 1
    assert not Path("outputs").exists()


def test_without_ray_the_message_says_how_to_get_it(run, listed, monkeypatch):
    import importlib.util

    whole = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ray" else whole(name)
    )
    result = run("batch", listed, "--engine", "ray")
    assert result.code == 2
    assert "pip install 'guidegen[ray]'" in result.err


def test_check_reads_the_list_and_draws_nothing(run, listed):
    result = run("batch", listed, "--var", "colour=red,blue", "--check", *FAST)
    assert (result.code, result.out) == (0, "")
    assert "3 pictures" in result.err
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_flags_go_before_the_config_file_and_lines_before_flags(run, tmp_path):
    (tmp_path / "c.toml").write_text('out = "mine"\nsteps = 1\nsave_every = 7\n')
    path = tmp_path / "l.jsonl"
    path.write_text('{"prompt": "a cat"}\n{"prompt": "a dog", "steps": 0}\n')
    result = run("batch", path, "--config", "c.toml", *FAST)
    assert result.code == 0, result.err
    configs = [json.loads(p.read_text())["config"] for p in Path("mine").glob("*/run.json")]
    found = {(c["prompt"], c["steps"], c["save_every"]) for c in configs}
    assert found == {("a cat", 2, 7), ("a dog", 0, 7)}


def test_help_names_the_flags(run):
    result = run("batch", "--help")
    assert result.code == 0
    for flag in ["--retry-failed", "--engine", "--cores-per-worker", "--generator", "--var"]:
        assert flag in result.out


def test_progress_estimates_from_what_was_drawn(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = ListProgress(10)
    for _ in range(4):
        progress.finished(reused=True, failed=False)
    assert progress.remaining() is None
    now[0] = 10.0
    progress.step(2, 30, 60)  # half of two pictures
    assert progress.remaining() == pytest.approx(50)
    progress.finished(reused=False, failed=True)
    assert "5 of 10 pictures" not in capsys.readouterr().err
    now[0] = 16.0
    progress.finished(reused=False, failed=False)
    assert capsys.readouterr().err == "6 of 10 pictures, 1 failed, about 32 s left\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7, "7 s"), (720, "12 min"), (12000, "3 h 20 min"), (187200, "2 d 4 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


class Pipe:
    def __init__(self, text):
        self.buffer = io.BytesIO(text.encode())

    def isatty(self):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a cat\na dog\n", '{"prompt": "a cat"}\n{"prompt": "a dog"}\n'])
def test_a_list_from_stdin_is_kept_beside_its_pictures(run, monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", Pipe(text))
    result = run("batch", "-", "-q", *FAST)
    assert result.code == 0, result.err
    paths = [Path(line) for line in result.out.splitlines()]
    assert [path.parent.name[:5] for path in paths] == ["a-cat", "a-dog"]
    folder = paths[0].parent.parent
    assert next(folder.glob("list.*")).read_text() == text
    monkeypatch.setattr(sys, "stdin", Pipe(text))
    assert run("batch", "-", "-q", *FAST).out == result.out


def test_stdin_that_is_a_terminal_is_refused(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "reads a list from a pipe" in run("batch", "-", *FAST).err


def test_check_finds_weights_that_are_not_here(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path / "store"))
    path = tmp_path / "list.csv"
    path.write_text("prompt,generator,size\na cat,pixels,32\na dog,vqgan/coco,64\n")
    result = run("batch", path, "--check", "--device", "cpu")
    assert result.code == 10
    assert f"{path}:3: " in result.err
    assert "the weights of vqgan/coco are not here" in result.err

"""`guidegen grid`, as people type it."""

import pytest
from PIL import Image

from guidegen.cli.main import main
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.mark.parametrize(("words", "why"), [
    (["a"], "name what varies"),
    (["--x", "seed=1,2"], "there is no prompt"),
    (["a", "b", "--x", "seed=1,2"], "of one prompt, not 2"),
    (["a", "--x", "speed=1,2"], "--x: 'speed' is no setting"),
    (["a", "--x", "steps=1,many"], "--steps:"),
    (["a", "--x", "seed=1,2", "--side", "9"], "--side: from 16 to 1024"),
])  # fmt: skip
def test_what_is_no_grid_is_said_in_one_line_before_work(capsys, monkeypatch, tmp_path, words, why):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", *words]) == 2
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_sheet_is_drawn_and_found_again(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    clip = make_tiny_clip(tmp_path / "clip")
    words = ["--generator", "pixels", "--size", "16", "--cutouts", "2", "--device", "cpu"]
    words += ["--perceptor", f"local-dir:{clip}", "--side", "32", "--quiet"]
    axes = ["--x", "seed=1,2", "--y", "prompt=a cat,a dog", "--steps", "1"]
    assert main(["grid", *axes, *words]) == 0
    path = tmp_path / capsys.readouterr().out.strip()
    with Image.open(path) as sheet:
        assert sheet.size == (150 + 2 * 38, 66 + 2 * 38)
    before = {run: run.stat().st_mtime_ns for run in tmp_path.glob("outputs/*/image.png")}
    assert len(before) == 4
    assert main(["grid", *axes, *words]) == 0
    assert {run: run.stat().st_mtime_ns for run in before} == before

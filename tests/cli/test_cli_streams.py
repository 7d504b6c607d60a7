"""Outputs that fail never cost a drawing, and Ctrl-C is one line from the first moment."""

import os
import signal
import subprocess
import sys

import pytest

from guidegen.cli.main import main
from guidegen.errors import GuidegenError

CLI = [sys.executable, "-m", "guidegen.cli"]


def runs(folder):
    return sorted(folder.glob("outputs/*/image.png"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_full_disk_at_stderr_is_not_even_noticed(engine, place, monkeypatch, capsys):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["a cat", "-n", "3"]) == 0
        assert sys.stderr is full
    assert len(runs(place)) == 3
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_full_disk_at_stdout_is_told_when_all_is_done(engine, place, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["a cat", "-n", "3"]) == 6
    assert len(runs(place)) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        "guidegen: all is done, but can't write to stdout: No space left on device"
    )


def test_a_terminal_that_was_closed_costs_nothing(engine, place, monkeypatch):
    master, slave = os.openpty()
    with open(slave, "w", buffering=1) as terminal:
        os.close(master)
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert main(["a cat", "-n", "2"]) == 6
    assert len(runs(place)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), (">/dev/full", 6), ("2>/dev/full", 0)],
)
def test_closed_and_full_streams_of_a_real_process(tmp_path, redirection, code):
    words = [*CLI, "a cat", "--print-config"]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_what_is_opened_does_not_take_the_number_of_a_closed_stream(tmp_path):
    code = (
        "import os; from guidegen.cli import start; start._open_missing(); print(os.open('/', 0))"
    )
    done = subprocess.run(
        ["bash", "-c", '"$@" 2>&- <&-', "bash", sys.executable, "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) > 2


@pytest.mark.parametrize("module", ["guidegen.cli.main", "cyclopts", "pydantic"])
def test_ctrl_c_while_the_command_is_still_being_imported_is_one_line(tmp_path, module):
    code = (
        "import importlib.abc, signal, sys, time\n"
        # it is ignored in what a shell script starts in the background, tests included
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Slow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            print('here', flush=True); time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from guidegen.cli.start import main\n"
        "sys.exit(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == "guidegen: stopped; nothing was being drawn yet\n"


def test_messages_are_printable_and_of_bounded_length(engine, place, monkeypatch, capsys):
    def fail(*args, **more):
        raise GuidegenError("\x1b]0;x\x07 \x9b2J \u202e" + "y" * 100_000)

    monkeypatch.setattr(engine, "generate", fail)
    assert main(["a cat"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("guidegen: \\x1b]0;x\\x07 \\x9b2J \\u202eyyy")
    assert len(err) < 5000


def test_an_error_of_the_system_is_no_bug(engine, place, monkeypatch, capsys):
    def fail(*args, **more):
        raise OSError(36, "File name too long", "x.png")

    monkeypatch.setattr(engine, "generate", fail)
    assert main(["a cat"]) == 6
    assert capsys.readouterr().err.splitlines()[-1] == "guidegen: x.png: File name too long"

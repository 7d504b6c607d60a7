"""What people type without having read the help."""

import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from guidegen.config import RunConfig


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["shw", "foo"], "did you mean guidegen show"),
        (["resme", "outputs/x"], "did you mean guidegen resume"),
        (["shwo", "x.png"], "did you mean guidegen show"),
        (["generator"], "did you mean guidegen generators"),
        (["modles", "list"], "did you mean guidegen models"),
    ],
)
def test_a_mistyped_command_draws_nothing_and_gets_the_near_one(run, engine, words, says):
    result = run(*words)
    assert (result.code, result.out, engine.calls) == (2, "", [])
    assert says in result.err
    assert os.listdir() == []


@pytest.mark.parametrize("words", [["shoe"], ["a batch of bread"], ["bath"], ["match", "a b"],
                                   ["video game console"], ["generate", "generator"]])  # fmt: skip
def test_a_prompt_that_resembles_a_command_is_drawn(run, engine, words):
    result = run(*words)
    assert result.code == 0, result.err
    assert len(engine.calls) == 1


def test_help_and_version_need_no_dashes(run, engine):
    assert run("help").out == run("--help").out
    assert run("help", "show").out == run("show", "--help").out
    assert run("version").out == run("--version").out
    assert engine.calls == []


def test_a_file_in_the_place_of_a_prompt_gets_its_command(run, engine, tmp_path):
    (tmp_path / "list.txt").write_text("a b\n")
    Image.new("RGB", (8, 8)).save("x.png")
    assert "guidegen batch list.txt" in run("list.txt").err
    assert "guidegen show x.png" in run("x.png").err
    assert engine.calls == []


@pytest.mark.parametrize("flag", ["--seed", "--steps", "--count"])
@pytest.mark.parametrize("value", ["0.5", "1.9", "1e3"])
def test_a_whole_number_is_never_rounded(run, engine, flag, value):
    result = run("a b", flag, value)
    assert (result.code, engine.calls) == (2, [])
    assert flag in result.err
    assert "no whole number" in result.err


def test_a_fraction_of_a_pixel_or_worker_is_refused_too(run):
    assert "no whole number" in run("video", "x", "--size", "64.5").err
    assert "no whole number" in run("batch", "x.txt", "--workers", "1.5").err


def test_help_promises_one_value_for_a_flag_that_takes_one(run):
    text = run("--help").out
    assert "..." not in text.partition("Arguments:")[2]
    assert "--negative TEXT" in text


def test_a_shift_may_begin_with_a_minus(run):
    assert 'shift = "-0.02,0"' in run("a b", "--shift", "-0.02,0", "--print-config").out


@pytest.mark.parametrize("words", [["a", "red", "apple"], ["the", "moon"], ["red", "green", "b"]])
def test_a_sentence_without_quotes_is_not_drawn_word_by_word(run, engine, words):
    result = run(*words)
    assert (result.code, engine.calls) == (2, [])
    assert f'guidegen "{" ".join(words)}"' in result.err
    assert run(*words, "--each").code == 0
    assert len(engine.calls[0]["configs"]) == len(words)


def test_two_words_are_two_pictures_and_it_is_said(run, engine):
    assert 'guidegen "cat dog"' in run("cat", "dog").err
    assert len(engine.calls[0]["configs"]) == 2


@pytest.mark.parametrize("command", ["resume", "video"])
def test_a_wrong_run_is_named_as_it_was_typed(run, command):
    Image.new("RGB", (8, 8)).save("boat.png")
    assert "no run at nope" in run(command, "nope").err
    assert "boat.png lies in no run" in run(command, "boat.png").err


def test_help_examples_are_indented_and_arguments_have_their_names(run):
    examples = [line for line in run("batch", "--help").out.splitlines()
                if line.lstrip().startswith("guidegen batch ")]  # fmt: skip
    assert len(examples) >= 4
    assert all(line.startswith("  ") for line in examples)
    for name in ("list", "pull", "verify", "import"):
        text = run("models", name, "--help").out
        assert "--FILE" not in text
        assert "ARGS" not in text


def test_help_shows_the_common_flags_first_and_every_default(run):
    text = run("--help").out
    assert text.index("--seed INT") < text.index("--negative-weight") < text.index("--lr-end")
    entries = [" ".join(entry.split()) for entry in re.split(r"\n  (?=-)", text)]
    parts = {entry.split()[0].strip(","): entry for entry in entries}
    for name in RunConfig.model_fields:
        assert name == "prompt" or "[default: " in parts[f"--{name.replace('_', '-')}"], name
    assert "[default: that of the generator]" in parts["--size"]
    assert "[default: 0.1]" in parts["--lr-end"]


@pytest.mark.slow
def test_a_closed_pipe_under_help_has_its_own_code():
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()\n"
         "from guidegen.cli.main import main; sys.exit(main(['--help']))"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    process.stdin.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""

"""The other commands, help, start-up, and the Python API's door."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

import guidegen
from guidegen import registry
from guidegen.backend import Backend, GeneratorInfo

HEAVY = ("torch", "numpy", "PIL", "open_clip", "torchvision", "safetensors")


def start(code, **more):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["generators"], ["losses"], ["x", "--print-config"]])
def test_these_import_nothing_heavy(words):
    process = start(
        "import sys; from guidegen.cli.main import main\n"
        f"code = main({words!r})\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    _, err = process.communicate(timeout=60)
    assert err.splitlines()[-1] == "0 []"


def test_help_names_every_flag_and_starts_with_examples(run):
    text = run("--help").out
    assert text.index('guidegen "a red apple"') < text.index("--seed")
    for name in guidegen.RunConfig.model_fields:
        assert name == "prompt" or f"--{name.replace('_', '-')}" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert run("generate", "--help").code == run("show", "--help").code == 0


def test_guidegen_alone_prints_a_short_help(run):
    result = run()
    assert result.code == 0
    assert len(result.out.splitlines()) < 10


def test_version(run):
    assert run("--version").out.startswith("guidegen ")


def test_show_tells_how_and_the_command_makes_it_again(run, engine):
    path = run("it's a b", "--seed", 3, "--negative", "blur", "--steps", 4).out.strip()
    shown = run("show", path).out
    assert "it's a b" in shown
    assert "scores         similarity 0.25" in shown
    command = shown.splitlines()[-1].strip()
    assert run(*shlex.split(command)[1:]).out.strip() == path
    for place in (path, os.path.dirname(path), os.path.dirname(path) + "/run.json"):
        data = json.loads(run("show", place, "--json").out)
        assert data["config"]["seed"] == 3
        assert data["command"] == command
        assert data["scores"] == {"similarity": 0.25}


def test_show_takes_several_pictures(run, engine):
    paths = run("a b", "--seed", 1, "-n", 2).out.split()
    shown = run("show", *paths)
    assert shown.code == 0, shown.err
    assert shown.out.count("Make it again:") == 2
    assert all(f"{path}:\n" in shown.out for path in paths)
    assert [data["config"]["seed"] for data in json.loads(run("show", *paths, "--json").out)] == [
        1,
        2,
    ]


def test_one_picture_that_can_not_be_shown_does_not_hide_the_others(run, engine):
    path = run("a b", "--seed", 1).out.strip()
    shown = run("show", "none.png", path)
    assert shown.code == 7
    assert "a b" in shown.out
    assert "no picture at none.png" in shown.err
    assert "1 of 2 could not be shown" in shown.err


def test_generators_lists_cards_and_what_is_broken(run, monkeypatch):
    card = GeneratorInfo(
        "b/x", "draws squares", (16, 64), 32, multiple=8, licence="MIT", latents={"z": "[4]"}
    )
    monkeypatch.setattr(registry, "backends", lambda: {"b": Backend("b", {"x": card}, "m:f")})
    monkeypatch.setattr(registry, "broken", lambda: {"bad": "it fails"})
    result = run("generators")
    assert "b/x: draws squares" in result.out
    assert "16 to 64 px, multiples of 8; 32 where none is asked for" in result.out
    assert "MIT" in result.out
    assert json.loads(run("generators", "--json").out)[0]["latents"] == {"z": "[4]"}
    assert result.err == "guidegen: the generator 'bad' can't be used: it fails\n"
    (told,) = json.loads(run("generators", "--json").out)
    assert told["name"] == "b/x"
    assert told["size"] == {"smallest": 16, "largest": 64, "multiple": 8, "default": 32}
    assert told["defaults"]["lr"] == 0.05


def test_losses_lists_cards_their_options_and_what_is_broken(run, monkeypatch):
    monkeypatch.setattr(registry, "broken_losses", lambda: {"bad": "it fails"})
    result = run("losses")
    assert "palette: distance of the pixels" in result.out
    assert "--loss-option range.low=0.05" in result.out
    assert result.err == "guidegen: the loss 'bad' can't be used: it fails\n"
    (told,) = json.loads(run("losses", "range", "--json").out)
    assert told["options"]["low"]["default"] == 0.05
    assert run("losses", "rang").code == 4


def test_options_of_a_generator_are_told_with_their_meaning(run):
    text = run("generators", "biggan/deep-128").out
    assert "--option max-classes=15" in text
    assert "classes that top-k mixes [1 to 1000]" in text
    assert "vqgan" not in text
    (told,) = json.loads(run("generators", "biggan/deep-128", "--json").out)
    assert told["options"]["truncation"] == {
        "default": 1.0, "low": 0.02, "high": 1.0, "choices": [],
        "help": "spread of z at the start, and which batch-norm statistics",
    }  # fmt: skip
    assert run("generators", "vqgam").code == 4


def test_presets_and_perceptors_can_be_looked_up(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert "--cutout-method    big-sleep" in run("presets").out
    assert json.loads(run("presets", "--json").out)["vqgan"]["steps"] == 300
    assert "guidegen presets" in run("a b", "--preset", "list").err
    text = run("perceptors").out
    listed = next(line for line in text.splitlines() if line.startswith("ViT-B-32/openai "))
    assert listed.split(maxsplit=1)[1].split("  ")[0] == "not here"
    assert "224 px" in listed
    assert "151 M" in listed
    assert "~605 MB" in listed
    assert "direct-ascent: ViT-B-32/openai + ViT-B-32/laion2b_s34b_b79k + " in text
    rows = {row["name"]: row for row in json.loads(run("perceptors", "--json").out)}
    assert next(iter(rows)) == "embedded"
    assert rows["embedded/robust"]["presets"] == ["paint", "paint-vqgan"]
    robust = rows["hf-hub:chs20/FARE4-ViT-B-32-laion2B-s34B-b79K"]
    assert (robust["presets"], robust["side"], robust["size"]) == (["clipag"], 224, "?")


def test_completion_is_installed_where_the_shell_looks(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    for name in ("ZSH_VERSION", "FISH_VERSION"):
        monkeypatch.delenv(name, raising=False)
    result = run("--install-completion", "--shell", "bash")
    assert result.code == 0, result.err
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any("--negative-weight" in text for text in written)


@pytest.mark.slow
def test_ctrl_c_while_starting_is_one_line():
    process = start(
        "import sys; from guidegen.cli import main as m\n"
        "import signal, time\n"
        # It is ignored in what a shell script starts in the background, tests included.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def slow(*a, **k): print('ready', flush=True); time.sleep(60)\n"
        "m.app.command(slow, name='slow')\n"
        "sys.exit(m.main(['slow']))"
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err == "guidegen: stopped; nothing was being drawn yet\n"


@pytest.mark.slow
def test_a_closed_pipe_is_quiet():
    process = subprocess.run(
        f"{shlex.quote(sys.executable)} -m guidegen.cli generators | true; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert process.stderr == ""
    assert process.stdout.strip() in ("141", "0")  # 0 where it wrote before the pipe closed


@pytest.mark.slow
def test_the_api_makes_one_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = {"steps": 1, "starts": 1, "cutouts": 1, "size": "64", "device": "cpu"}
    picture = guidegen.generate("a red apple", seed=7, negative="blur", **quick)
    assert picture.config.negative == ("blur",)
    assert picture.path == picture.run.image
    assert picture.path.is_file()
    with pytest.raises(guidegen.GuidegenError, match="unknown setting 'sede'"):
        guidegen.generate("a red apple", sede=7)
    with pytest.raises(AttributeError, match="nothing"):
        _ = guidegen.nothing
    assert set(guidegen.__all__) <= set(dir(guidegen))

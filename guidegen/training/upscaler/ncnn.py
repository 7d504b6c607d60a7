"""Reads a network of ncnn's: `.param` names the layers, `.bin` holds their weights in that order.

Only what the upscaler is made of is known; anything else is refused rather than skipped, since a
weight file has no names by which a shift would be noticed.

Source: ncnn's wiki, "param and model file structure", https://github.com/Tencent/ncnn/wiki
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from guidegen.errors import DataError

MAGIC = "7767517"
_HALF = 0x01306B47  # written before weights in half precision, 0 before float32
_NO_WEIGHTS = frozenset({"Input", "Split", "PixelShuffle", "Interp", "BinaryOp"})


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file.

    Attributes:
        kind: "Convolution", "PReLU"...
        inputs, outputs: names of the blobs it reads and writes.
        options: by ncnn's numbers: of a convolution 0 is its outputs, 1 the side of its kernel,
            3 the stride, 4 the padding, 5 whether it has a bias, 6 how many weights it has.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[int, float]

    def option(self, number: int, default: int = 0) -> int:
        """An option that is a whole number."""
        return int(self.options.get(number, default))


def read_param(text: str) -> list[Layer]:
    """The layers of a network, in order.

    Raises:
        DataError: this is no `.param` file, or it is cut short.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        if lines[0] != [MAGIC]:
            raise ValueError(f"it begins with {' '.join(lines[0])!r}, not with {MAGIC}")
        layers = [_layer(words) for words in lines[2:]]
        if len(layers) != int(lines[1][0]):
            raise ValueError(f"it tells of {lines[1][0]} layers and has {len(layers)}")
    except (ValueError, IndexError) as error:
        raise DataError(f"this is no network of ncnn's: {error}") from None
    return layers


def _layer(words: list[str]) -> Layer:
    kind, _, read, written = words[0], words[1], int(words[2]), int(words[3])
    rest = words[4:]
    if len(rest) < read + written:
        raise ValueError(f"layer {words[1]} is cut short")
    pairs = (word.split("=") for word in rest[read + written :])
    options = {int(number): float(value) for number, value in pairs}
    return Layer(kind, tuple(rest[:read]), tuple(rest[read : read + written]), options)


def read_bin(layers: list[Layer], data: bytes) -> list[dict[str, Tensor]]:
    """The weights of every layer that has some, in order.

    Args:
        layers: as `read_param` returns them.
        data: the whole `.bin` file.

    Returns:
        Of a convolution "weight" [out, in, k, k] as stored (half or float32) and "bias" [out], of
        a PReLU "weight" [channels].

    Raises:
        DataError: a layer of another kind, weights that do not suit it, or bytes too few or left.
    """
    found = []
    position = 0

    def take(count: int, kind: str) -> Tensor:
        nonlocal position
        size = count * np.dtype(kind).itemsize
        if position + size > len(data):
            raise DataError(f"the weights end at byte {len(data)}, within a layer")
        part = np.frombuffer(data, kind, count, position)
        position += -(-size // 4) * 4  # each part begins at a multiple of four bytes
        return torch.from_numpy(part.copy())

    for layer in layers:
        if layer.kind == "Convolution":
            outputs, side, weights = layer.option(0), layer.option(1), layer.option(6)
            inputs, rest = divmod(weights, outputs * side * side)
            if rest or layer.option(3, 1) != 1 or layer.option(4) != side // 2:
                raise DataError(f"a convolution of another kind than expected: {layer.options}")
            tag = int(take(1, "<u4"))
            if tag not in (_HALF, 0):
                raise DataError(f"weights are stored in a way that is not known: {tag:#x}")
            weight = take(weights, "<f2" if tag == _HALF else "<f4")
            parts = {"weight": weight.view(outputs, inputs, side, side)}
            if layer.option(5):
                parts["bias"] = take(outputs, "<f4")
            found.append(parts)
        elif layer.kind == "PReLU":
            found.append({"weight": take(layer.option(0), "<f4")})
        elif layer.kind not in _NO_WEIGHTS:
            raise DataError(f"a layer of ncnn's that is not known here: {layer.kind}")
    if position != len(data):
        raise DataError(f"{len(data) - position} bytes of the weights belong to no layer")
    return found

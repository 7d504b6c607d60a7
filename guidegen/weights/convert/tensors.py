"""The tensors of a generator in a checkpoint, compared with what its config promises."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from guidegen.errors import WeightsError
from guidegen.weights.catalog import BIGGAN
from guidegen.weights.convert.schemas import Shapes, expected_shapes, normal_config
from guidegen.weights.fit import require_fit
from guidegen.weights.store import Stored

_FIRST_STAGE = "first_stage_model."
# Net2Net's other parts: the transformer over the codes, and what conditions it
_NET2NET = ("transformer", "cond_stage_model", "permuter")
_TRAINING = ("loss", "colorize")
_WRAPPERS = ("module.", "model.", "_orig_mod.")


def select(
    file: Path, state: Mapping[str, torch.Tensor], backend: str
) -> tuple[dict[str, torch.Tensor], Counter[str]]:
    """The generator's tensors under the package's own names, and what else there was."""
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    dropped: Counter[str] = Counter()
    if backend == BIGGAN:
        return dict(state), dropped
    kept = {}
    net2net = any(name.startswith(_FIRST_STAGE) for name in state)
    for name, tensor in state.items():
        head = name.partition(".")[0]
        inner = name.removeprefix(_FIRST_STAGE)
        if net2net and inner == name and head in _NET2NET:
            dropped[head] += 1
        elif inner.partition(".")[0] in _TRAINING:
            dropped[inner.partition(".")[0]] += 1
        else:
            kept[inner if net2net else name] = tensor
    if not kept:
        raise WeightsError(f"{file} holds no weights of a {backend}")
    return kept, dropped


def compare(file: Path, tensors: Mapping[str, torch.Tensor], expected: Shapes) -> None:
    """Refuse everything but exactly the promised tensors, in finite numbers."""
    require_fit(file, tensors, expected)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsError(f"{file}: {name} holds {tensor.dtype}, not numbers with a fraction")
        # as they will be stored: what is finite in float64 may not be in float32
        if not bool(tensor.float().isfinite().all()):
            raise WeightsError(f"{file}: {name} holds values that are not finite; get it again")


def check_numbers(model: Stored) -> None:
    """Whether the tensors of a stored model are those that its config promises, and finite.

    Its digest says only that they are what was imported.

    Raises:
        WeightsError: they are not.
    """
    config = normal_config(model.config, model.name.partition("/")[0])
    try:
        tensors = load_file(model.weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{model.weights} is damaged: {error}") from error
    compare(model.weights, tensors, expected_shapes(config, model.name.partition("/")[0]))

"""State files of a run, `state-<step>.safetensors`: written whole, checked when read.

A state holds one candidate's rows of a `LoopState`. Two are kept, so that a damaged one falls back
to the older. Each carries a digest of its own content: safetensors notices a short file, but not a
flipped bit.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidegen.errors import WeightsError
from guidegen.interfaces import LoopState

log = logging.getLogger(__name__)

_KEPT = 2
_NAME = re.compile(r"state-(\d+)\.safetensors")
_FORMAT = "1"


def write_state(
    folder: Path, write: Callable[[str, bytes], object], state: LoopState, row: int, *, device: str
) -> None:
    """Write one candidate's state, then remove all but the two newest.

    Args:
        folder: the run directory.
        write: writes a whole file of the run under a name, or nothing.
        state: of the whole batch.
        row: which candidate.
        device: where it was computed; other devices end in other low bits.
    """
    tensors = {f"rows/{name}": value[row].cpu() for name, value in state.rows.items()}
    tensors |= {f"shared/{name}": value.cpu() for name, value in state.shared.items()}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    about = {
        "format": _FORMAT,
        "index": str(state.index),
        "torch": torch.__version__,
        "device": device,
    }
    about["sha256"] = _digest(tensors, about)
    write(f"state-{state.index}.safetensors", save(tensors, about))
    for _, path in _files(folder)[_KEPT:]:
        path.unlink(missing_ok=True)


def newest_state(folder: Path, *, device: str) -> LoopState | None:
    """The newest undamaged state of a run, as a batch of one; None where there is none.

    Args:
        folder: the run directory.
        device: where it will go on; the log says if that, or PyTorch, is another than before.
    """
    for index, path in _files(folder):
        try:
            state, about = _read(path)
        except WeightsError as error:
            log.warning("%s; going on from an older state", error)
            continue
        if state.index != index:
            log.warning("%s was renamed; going on from an older state", path)
            continue
        now = {"torch": torch.__version__, "device": device}
        for name, value in now.items():
            if about.get(name) != value:
                log.warning(
                    "the run in %s began with %s %s and goes on with %s: its last bits may differ "
                    "from an undisturbed run's", folder, name, about.get(name), value
                )  # fmt: skip
        return state
    return None


def join_states(states: Sequence[LoopState]) -> LoopState:
    """The states of several candidates at the same step as one batch."""
    first = states[0]
    rows = {name: torch.cat([state.rows[name] for state in states]) for name in first.rows}
    return LoopState(first.index, rows, first.shared)


def remove_states(folder: Path) -> None:
    """Remove all states of a run."""
    for _, path in _files(folder):
        path.unlink(missing_ok=True)


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Step and path of each state, newest first."""
    return sorted(_found(folder), reverse=True)


def _found(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.glob("state-*.safetensors"):
        match = _NAME.fullmatch(path.name)
        if match:
            yield int(match[1]), path


def _read(path: Path) -> tuple[LoopState, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None
    sha256 = about.pop("sha256", "")
    if about.get("format") != _FORMAT:
        raise WeightsError(f"{path} is of another version of guidegen")
    if sha256 != _digest(tensors, about):
        raise WeightsError(f"{path} is damaged: its content does not fit its SHA-256")
    rows = {n.removeprefix("rows/"): v[None] for n, v in tensors.items() if n.startswith("rows/")}
    shared = {n.removeprefix("shared/"): v for n, v in tensors.items() if n.startswith("shared/")}
    return LoopState(int(about["index"]), rows, shared), about


def _digest(tensors: dict[str, Tensor], about: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

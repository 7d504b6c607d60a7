"""Reading the tensors of a checkpoint without executing anything in it.

A pickle is a program. Here it may only build tensors, numbers, texts, lists and dicts; of the
classes that Lightning writes beside the tensors only the names are known, and inert stubs stand for
them. Whatever else a file names is refused and listed. There is no way around this.
"""

import json
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from guidegen.errors import WeightsError
from guidegen.weights.store import is_web_page

_LARGEST = 64 << 30  # bytes that a checkpoint may unpack to
_PACKED = 3  # and how many times its own length; torch stores without compression
_SPARE = 1 << 20
_LIGHTNING = (
    "callbacks.model_checkpoint.ModelCheckpoint",
    "callbacks.early_stopping.EarlyStopping",
    "callbacks.lr_monitor.LearningRateMonitor",
    "callbacks.lr_logger.LearningRateLogger",
    "callbacks.progress.ProgressBar",
    "callbacks.timer.Timer",
    "utilities.parsing.AttributeDict",
)
_DICTS = ("AttributeDict", "defaultdict")
_OTHERS = (
    "argparse.Namespace",
    "builtins.dict",
    "builtins.float",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.str",
    "collections.defaultdict",
    "copyreg._reconstructor",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
)


class _Inert:
    """Stands for a class whose objects are not needed; takes anything and keeps nothing."""

    def __new__(cls, *args: Any, **more: Any) -> "_Inert":
        return object.__new__(cls)

    def __init__(self, *args: Any, **more: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _Dict:
    """Stands for a kind of dict; a plain one takes its place, since torch fills only such."""

    def __new__(cls, *args: Any, **more: Any) -> Any:
        return {}


def _stubs() -> list[Any]:
    names = [
        f"{p}.{name}" for p in ("pytorch_lightning", "lightning.pytorch") for name in _LIGHTNING
    ]
    # one class for each, since a checkpoint uses them as the keys of a dict
    return [
        (type("Inert", (_Dict if name.endswith(_DICTS) else _Inert,), {}), name)
        for name in (*names, *_OTHERS)
    ]


def read_tensors(path: Path, *, intact: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of a `.ckpt`, `.pt`, `.bin` or `.safetensors`, by name; unwrapped, on the CPU.

    What the file is, its content tells, not its name.

    Args:
        path: the file.
        intact: its digest was compared, so that its checksums need not be.

    Raises:
        WeightsError: it is none of these, is cut short, or wants to execute something.
    """
    head = _head(path)
    if head.startswith(b"PK"):
        packed = _check_zip(path, intact=intact)
        # mapped into memory, the parts of a large file that are not needed are never read; but then
        # torch does not compare how long a tensor should be with how long it is
        data = _unpickle(path, mmap=not packed and _lengths_fit(path))
    elif len(head) > 8 and head[8:9] == b"{":
        try:
            data = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(
                f"{path} is no whole safetensors file ({_line(error)}); get it again"
            ) from error
    elif head.startswith(b"\x80"):
        data = _unpickle(path, mmap=False)
    else:
        raise WeightsError(
            f"{path} is no checkpoint: neither a zip nor a pickle of torch, nor safetensors"
        )
    return _state(path, data)


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise WeightsError(f"{path} is a folder; name the checkpoint file in it")
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path} is no ordinary file; save it first")
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror or error}") from error
    if not head:
        raise WeightsError(f"{path} is empty; get it again")
    if is_web_page(head):
        raise WeightsError(
            f"{path} looks like a web page, not like weights: the host sent a page in place of the "
            "file; get it again"
        )
    return head


def _check_zip(path: Path, *, intact: bool) -> bool:
    """Refuse what is damaged, is a program, or unpacks to far more than it is long.

    Returns:
        Whether it is compressed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(
            f"{path} is cut short or damaged ({_line(error)}); get it again"
        ) from error
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise WeightsError(
            f"{path} is a TorchScript archive, a program and not just weights; get the checkpoint "
            "with the state_dict (for CLIP: guidegen models pull NAME)"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise WeightsError(f"{path} is a zip file, but no checkpoint of torch")
    size, unpacked = path.stat().st_size, sum(member.file_size for member in members)
    if unpacked > min(_LARGEST, _PACKED * size + _SPARE):
        raise WeightsError(
            f"{path} is {size} bytes long and would unpack to {unpacked}; no checkpoint does"
        )
    # torch itself compares no checksums
    damaged = None if intact else _first_damaged(path)
    if damaged is not None:
        raise WeightsError(f"{path} is damaged (the checksum of {damaged} differs); get it again")
    return any(member.compress_type != zipfile.ZIP_STORED for member in members)


def _first_damaged(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except Exception as error:
        # a damaged header raises any of a dozen types
        raise WeightsError(f"{path} is damaged ({_line(error)}); get it again") from error


def _unpickle(path: Path, *, mmap: bool) -> Any:
    stubs = _stubs()
    try:
        with safe_globals(stubs):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        # a damaged pickle raises whatever its garbage happens to ask for
        named = _refused(path, error, {name for _, name in stubs})
        if named:
            raise WeightsError(
                f"{path} was refused, since it names code besides tensors: {', '.join(named)}. "
                "Nothing was executed; get a file that holds a state_dict alone"
            ) from None
        raise WeightsError(
            f"{path} is cut short or damaged ({_line(error)}); get it again"
        ) from error


def _lengths_fit(path: Path) -> bool:
    """Whether each storage is as long as its tensors say; False where that can't be told.

    A storage that was cut short would go on with the bytes of the next one.

    Raises:
        WeightsError: one is not.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        with FakeTensorMode(), safe_globals(_stubs()):  # no memory, but places in the file
            data = torch.load(path, weights_only=True)
        state = data.get("state_dict", data)
        storages = {
            name: value.untyped_storage()
            for name, value in state.items()
            if isinstance(value, torch.Tensor) and value.device.type == "cpu"
        }
        places = {name: storage._checkpoint_offset for name, storage in storages.items()}
        spans = _spans(path)
    except Exception:  # torch reads it all then, which compares lengths, and says what is wrong
        return False
    for name, storage in storages.items():
        place = places[name]
        if place is None or spans.get(place) != storage.nbytes():
            raise WeightsError(
                f"{path} is damaged: the data of {name} is not as long as it says; get it again"
            )
    return True


def _spans(path: Path) -> dict[int, int]:
    """Where each member's content begins in a zip -> its length, in bytes."""
    found = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            file.seek(member.header_offset)
            # PKWARE's APPNOTE 4.3.7: 30 bytes, the lengths of name and extra field last
            name, extra = struct.unpack("<HH", file.read(30)[26:])
            found[member.header_offset + 30 + name + extra] = member.file_size
    return found


def _refused(path: Path, error: Exception, known: set[str]) -> list[str]:
    """Names of the globals for which a file was refused."""
    try:
        found = set(get_unsafe_globals_in_checkpoint(path)) - known
    except Exception:
        # not for the format before torch 1.6, nor for a damaged pickle
        found = set(re.findall(r"GLOBAL (\S+)", str(error)))
    return sorted(found)


def _state(path: Path, data: Any) -> dict[str, torch.Tensor]:
    """Unwrap Lightning's dict, and be sure that there are only dense tensors of numbers."""
    if isinstance(data, Mapping) and isinstance(data.get("state_dict"), Mapping):
        data = data["state_dict"]
    if not isinstance(data, Mapping) or not data:
        raise WeightsError(f"{path} holds no state_dict but a {type(data).__name__}")
    for name, value in data.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(
                f"{path}: {name!r} is a {type(value).__name__}, where a state_dict has a tensor"
            )
        dense = value.layout == torch.strided and value.device.type == "cpu"
        if not dense or value.is_quantized or value.is_complex():
            kind = f"{value.dtype} {value.layout} {value.device.type}"
            raise WeightsError(f"{path}: {name} is a {kind} tensor; it holds no plain numbers")
    return {name: value.detach() for name, value in data.items()}


def _line(error: object) -> str:
    # torch surrounds the cause with the advice to try without weights_only
    cause = str(error).partition("WeightsUnpickler error:")[2].partition("\n\nCheck")[0]
    text = json.dumps(" ".join((cause or str(error)).split()), ensure_ascii=False)[1:-1]
    return (text[:157] + "...") if len(text) > 160 else text or type(error).__name__

"""Import: a checkpoint as it was published becomes a model of the store.

Nothing in the file is executed, every name and shape is compared with what the config promises, and
the folder appears whole or not at all.
"""

import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from guidegen.errors import ConfigError, OutputError, WeightsError
from guidegen.utils.locks import waiting
from guidegen.utils.parse import parse_json, read_text
from guidegen.utils.versions import own_version
from guidegen.weights.catalog import BIGGAN, VQGAN, Checkpoint
from guidegen.weights.convert.schemas import Shapes, expected_shapes, normal_config, read_config
from guidegen.weights.convert.unpickle import read_tensors
from guidegen.weights.store import (
    CONFIG,
    LONGEST_NAME,
    MODEL,
    SOURCE,
    Stored,
    make_folder,
    sha256_file,
)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FIRST_STAGE = "first_stage_model."
# Net2Net's other parts: the transformer over the codes, and what conditions it
_NET2NET = ("transformer", "cond_stage_model", "permuter")
_TRAINING = ("loss", "colorize")
_WRAPPERS = ("module.", "model.", "_orig_mod.")
_NAMED = 3


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        name: as `--generator` takes it.
        folder: where it lies now.
        sha256: of `model.safetensors`.
        tensors: how many it has.
        dropped: first part of the name -> how many tensors were not needed for drawing.
        already: it was there before, equal in every byte.
        as_published: whether the file is the published one; None where no digest was published.
    """

    name: str
    folder: Path
    sha256: str
    tensors: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    already: bool = False
    as_published: bool | None = None


def import_checkpoint(
    file: Path,
    name: str,
    store: Path,
    *,
    config: Path | None = None,
    published: Checkpoint | None = None,
    origin: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Imported:
    """Turn a checkpoint file into `<store>/<name>/` with safetensors, config and source.

    Args:
        file: `.ckpt`, `.pt`, `.bin` or `.safetensors`; its content tells which.
        name: "vqgan/mine", "biggan/deep-256".
        store: `guidegen.weights.store.store_folder()`.
        config: taming's YAML or the JSON of pytorch_pretrained_biggan. Without it the config is
            that of `published`, or one that lies beside the file.
        published: entry of the registry under this name, for config, licence and source.
        origin: more for `source.json`: where a download came from ("source"), and
            its digest if that was computed just now ("file_sha256").
        force: replace another model of that name.

    Raises:
        WeightsError: the file is broken, dangerous or does not fit its config, or a different
            model has that name.
        ConfigError: the name can't be.
        OutputError: the store can't be written.
    """
    backend, variant = _split(name)
    file_sha256 = _digest(file, origin)
    as_published = file_sha256 == published.sha256 if published and published.sha256 else None
    state = read_tensors(file, intact=bool(as_published))
    used = _config(file, config, published, backend)
    tensors, dropped = _select(file, state, backend)
    _compare(file, tensors, expected_shapes(used, backend))
    source = {
        "name": name,
        "source": str(file.resolve()),
        "licence": published.licence if published else "not stated",
        "config": str(config) if config else "published",
        **(origin or {}),
        "file_sha256": file_sha256,
        "as_published": as_published,
        "dropped": dict(dropped),
        "imported": datetime.now(UTC).isoformat(timespec="seconds"),
        "guidegen": own_version(),
    }
    parent = make_folder(store / backend)
    # others may import other names meanwhile
    with waiting(make_folder(store / ".locks") / f"{backend}--{variant}.lock"):
        _tidy(parent, variant)
        sha256, already = _place(parent, variant, tensors, used, source, force=force)
    return Imported(name, parent / variant, sha256, len(tensors), dropped, already, as_published)


def _digest(file: Path, origin: Mapping[str, Any] | None) -> str:
    if origin and "file_sha256" in origin:
        return str(origin["file_sha256"])
    return sha256_file(file) if file.is_file() else ""


def _split(name: str) -> tuple[str, str]:
    backend, _, variant = name.partition("/")
    known = backend in (BIGGAN, VQGAN) and variant != "embedded"
    if not known or not _NAME.fullmatch(variant) or len(name) > LONGEST_NAME:
        raise ConfigError(
            f"--name {name[:120]!r}: write it as biggan/NAME or vqgan/NAME, with small letters, "
            f"digits and . _ -, {LONGEST_NAME} characters at most (embedded is taken)"
        )
    return backend, variant


def _config(
    file: Path, given: Path | None, published: Checkpoint | None, backend: str
) -> dict[str, Any]:
    if given is not None:
        return read_config(given, backend)
    if published is not None and published.config:
        return normal_config(published.config, backend)
    for beside in _beside(file):
        if beside.is_file():
            return read_config(beside, backend)
    kind = "taming's YAML" if backend == VQGAN else "its config.json"
    raise WeightsError(f"{file} needs its config: name it with --config ({kind})")


def _beside(file: Path) -> Iterable[Path]:
    for ending in (".json", ".yaml", ".yml"):
        yield file.with_suffix(ending)
    for name in ("config.json", "config.yaml", "model.yaml"):
        yield file.with_name(name)


def _select(
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


def _compare(file: Path, tensors: Mapping[str, torch.Tensor], expected: Shapes) -> None:
    """Refuse everything but exactly the promised tensors."""
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    kinds = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
    found = [f"{len(names)} {kind} ({_few(names)})" for kind, names in kinds if names]
    if found:
        raise WeightsError(f"{file} does not fit its config: {'; '.join(found)}")
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
    _compare(model.weights, tensors, expected_shapes(config, model.name.partition("/")[0]))


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _place(
    parent: Path,
    variant: str,
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    force: bool,
) -> tuple[str, bool]:
    """Write the folder under a temporary name and rename it."""
    final = parent / variant
    new = parent / f".{variant}.{secrets.token_hex(4)}.tmp"
    old = parent / f".{variant}.old"
    try:
        new.mkdir()
        # sorted, in float32 and each on its own, so that equal weights are equal bytes
        save_file(
            {name: tensors[name].float().clone(memory_format=torch.contiguous_format)
             for name in sorted(tensors)},
            new / MODEL,
        )  # fmt: skip
        sha256 = sha256_file(new / MODEL)
        text = _json(config)
        (new / CONFIG).write_text(text, encoding="utf-8")
        details = {"sha256": sha256, "config_sha256": sha256_file(new / CONFIG), **source}
        (new / SOURCE).write_text(_json(details), encoding="utf-8")
        for path in new.iterdir():
            _sync(path)
        if final.exists():
            if _same(final, sha256, text):
                return sha256, True
            if not force:
                raise WeightsError(
                    f"{final} holds a different model; replace it with --force, or choose another "
                    "--name"
                )
            final.rename(old)
        new.rename(final)
        _sync(parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"can't write {final}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return sha256, False


def _same(folder: Path, sha256: str, config: str) -> bool:
    try:
        recorded = parse_json(read_text(folder / SOURCE))["sha256"]
        unchanged = (folder / CONFIG).read_text(encoding="utf-8") == config
        return bool(recorded == sha256 and unchanged and sha256_file(folder / MODEL) == sha256)
    except (OSError, ValueError, KeyError, TypeError, WeightsError):
        return False


def _tidy(parent: Path, variant: str) -> None:
    """Undo what a killed import left; nobody else works here, for the folder is locked."""
    old = parent / f".{variant}.old"
    if old.exists():
        if (parent / variant).exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(parent / variant)
    for path in parent.glob(f".{variant}.*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

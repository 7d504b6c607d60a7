"""A model's folder in the store: there and whole, or not there."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from guidegen.errors import OutputError, WeightsError
from guidegen.utils.parse import parse_json, read_text
from guidegen.weights.store import CONFIG, MODEL, SOURCE, sha256_file


def place(
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
                    f"{final} holds a different model; replace it by force, or choose another name",
                    field="name",
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


def tidy(parent: Path, variant: str) -> None:
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

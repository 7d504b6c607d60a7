"""Features of big vocabularies, kept on disk between runs."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidegen.interfaces import Perceptor
from guidegen.utils.measured import cache_folder

log = logging.getLogger(__name__)


def encode_vocabulary(perceptor: Perceptor, texts: Sequence[str], *, key: str) -> Tensor:
    """`perceptor.encode_text(texts)`, from disk where it was computed before.

    A damaged file is computed again; a folder that can't be written only means no caching.

    Args:
        perceptor: its digest is part of the file's name.
        texts: V of them, at least one.
        key: digest of the vocabulary.

    Returns:
        [V, d] float32, unit norm, on the perceptor's device.
    """
    # One text tells where the features belong and how long they are.
    probe = perceptor.encode_text(texts[:1])
    shape = (len(texts), probe.shape[1])
    # Device and torch decide the last bits, and the same command promises the same picture.
    origin = [perceptor.digest, key, probe.device.type, torch.__version__, list(texts)]
    name = hashlib.sha256(json.dumps(origin).encode()).hexdigest()
    path = cache_folder() / "features" / f"{name}.safetensors"
    features = _read(path, shape)
    if features is None:
        # many drawings bear the same name
        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        features = perceptor.encode_text(list(distinct))[[distinct[text] for text in texts]]
        _write(path, features)
    return features.to(probe.device)


def _checksum(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().tobytes()).hexdigest()


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    try:
        with safe_open(path, framework="pt") as file:
            features: Tensor = file.get_tensor("features")
            checksum = (file.metadata() or {}).get("sha256")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        log.info("computing %s again: %s", path, error)
        return None
    # safetensors notices a short file, but not a flipped bit
    if (
        tuple(features.shape) != shape
        or features.dtype != torch.float32
        or checksum != _checksum(features)
    ):
        log.info("computing %s again: it is damaged", path)
        return None
    return features


def _write(path: Path, features: Tensor) -> None:
    features = features.detach().cpu().contiguous()
    data = save({"features": features}, metadata={"sha256": _checksum(features)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    except OSError as error:
        log.info("no features are cached: %s", error)
        return
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        log.info("no features are cached: %s", error)
        Path(temporary).unlink(missing_ok=True)

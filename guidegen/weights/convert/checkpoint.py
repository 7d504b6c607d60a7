"""Import: a checkpoint as it was published becomes a model of the store.

Nothing in the file is executed, every name and shape is compared with what the config promises, and
the folder appears whole or not at all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guidegen.errors import ConfigError, WeightsError
from guidegen.utils.files import make_folder
from guidegen.utils.locks import waiting
from guidegen.utils.versions import own_version
from guidegen.weights.catalog import BIGGAN, VQGAN, Checkpoint
from guidegen.weights.convert.place import place, tidy
from guidegen.weights.convert.schemas import expected_shapes, normal_config, read_config
from guidegen.weights.convert.tensors import compare, select
from guidegen.weights.convert.unpickle import read_tensors
from guidegen.weights.store import LONGEST_NAME, sha256_file

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


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
    tensors, dropped = select(file, state, backend)
    compare(file, tensors, expected_shapes(used, backend))
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
        tidy(parent, variant)
        sha256, already = place(parent, variant, tensors, used, source, force=force)
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
            f"{name[:120]!r} can't be; write biggan/NAME or vqgan/NAME, with small letters, digits "
            f"and . _ -, {LONGEST_NAME} characters at most (embedded is taken)",
            field="name",
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
    raise WeightsError(f"{file} needs its config: name {kind}", field="config")


def _beside(file: Path) -> Iterable[Path]:
    for ending in (".json", ".yaml", ".yml"):
        yield file.with_suffix(ending)
    for name in ("config.json", "config.yaml", "model.yaml"):
        yield file.with_name(name)

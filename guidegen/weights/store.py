"""Where checkpoints lie and whether they are what they say. Torch-free.

A model of the store is a folder `<store>/<backend>/<variant>/` with `model.safetensors`,
`config.json` (the architecture, in the words of the package the checkpoint comes from) and
`source.json` (where it came from, licence, SHA-256 of `model.safetensors`).
"""

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from guidegen.errors import WeightsError
from guidegen.utils.parse import parse_json, read_text

MODEL, CONFIG, SOURCE = "model.safetensors", "config.json", "source.json"
LONGEST_NAME = 100  # file systems take 255 bytes for a folder, with what we add to it
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?")


@dataclass(frozen=True)
class Stored:
    """A model of the store, or one that ships with guidegen.

    Attributes:
        name: as `--generator` takes it ("vqgan/imagenet-f16-16384").
        folder: where it lies.
        config: what its `config.json` says.
        sha256: of `model.safetensors` when it was imported, in hex.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    sha256: str

    @property
    def weights(self) -> Path:
        """The safetensors file."""
        return self.folder / MODEL

    def check(self) -> None:
        """Read the weights and the config once and compare their digests.

        Raises:
            WeightsError: they are not what was imported.
        """
        recorded = _source(self.folder)
        config = recorded.get("config_sha256")
        # a flipped bit loads silently, so nothing but a digest finds it
        for path, sha256 in ((self.weights, self.sha256), (self.folder / CONFIG, config)):
            if sha256 is not None and sha256_file(path) != sha256:
                raise WeightsError(
                    f"{path} has changed since it was imported (its SHA-256 is not that of "
                    f"{SOURCE}); get or import it again, by force: guidegen models pull {self.name}"
                )


def store_folder() -> Path:
    """Folder of imported weights: $GUIDEGEN_WEIGHTS, or the platform's place for data."""
    # platformdirs takes 20 ms to import, and most commands never come here
    from platformdirs import user_data_path

    return Path(os.environ.get("GUIDEGEN_WEIGHTS") or user_data_path("guidegen") / "weights")


def find_stored(name: str) -> Stored | None:
    """The model of that name; None where there is none.

    Raises:
        WeightsError: its folder is damaged.
    """
    backend, _, variant = name.partition("/")
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        return None
    folder = embedded(backend) if variant == "embedded" else store_folder() / backend / variant
    if not (folder / MODEL).is_file():
        return None
    try:
        config = parse_json(read_text(folder / CONFIG))
        return Stored(name, folder, dict(config), str(_source(folder)["sha256"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{folder} is damaged ({type(error).__name__}: {error}); remove it and get {name} again"
        ) from None


def _source(folder: Path) -> dict[str, Any]:
    """What `source.json` says.

    Raises:
        OSError: it can't be read.
        ValueError: it is no JSON object with a "sha256".
    """
    data = parse_json(read_text(folder / SOURCE))
    if not isinstance(data, dict) or not isinstance(data.get("sha256"), str):
        raise ValueError(f"{SOURCE} tells no sha256")
    return data


def stored(name: str) -> Stored:
    """The model of that name.

    Raises:
        WeightsError: it is not here, and how to get it; or its folder is damaged.
    """
    found = find_stored(name)
    if found is None:
        raise WeightsError(
            f"the weights of {name} are not here; get them with: guidegen models pull {name} "
            "(or import a file that you have: guidegen models import)"
        )
    return found


def stored_names(backend: str) -> list[str]:
    """Variants of a backend that are in the store, sorted."""
    folder = store_folder() / backend
    return sorted(
        p.parent.name for p in folder.glob(f"*/{MODEL}") if _NAME.fullmatch(p.parent.name)
    )


def installed() -> list[str]:
    """Names of all folders of the store, sorted; also of those that are damaged."""
    folders = store_folder().glob("*/*")
    names = (f"{path.parent.name}/{path.name}" for path in folders if path.is_dir())
    return sorted(name for name in names if _NAME.fullmatch(name))


def embedded(name: str) -> Path:
    """Folder of a model that ships with guidegen.

    Args:
        name: a folder of `guidegen/embedded`, like "clip".

    Raises:
        WeightsError: the folder is not there or is empty.
    """
    folder = Path(str(resources.files("guidegen.embedded"))) / name
    if not folder.is_dir() or not any(folder.iterdir()):
        raise WeightsError(
            f"the embedded model {name!r} is not at {folder}: this installation of guidegen is "
            "incomplete; install it again"
        )
    return folder


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins like this is HTML, as hosts send in place of a file."""
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<script"))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        WeightsError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"can't read {path}: {error.strerror or error}") from error


def folder_digest(path: Path) -> str:
    """SHA-256 over the names and contents of all files below a folder, in hex.

    Model cards (`.md`) and hidden files are left out: editing them changes no result.

    Raises:
        WeightsError: no such folder, or a file in it can't be read.
    """
    if not path.is_dir():
        raise WeightsError(f"there is no folder {path}")
    digest = hashlib.sha256()
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    for name in names:
        if not name.endswith(".md") and not any(part.startswith(".") for part in name.split("/")):
            digest.update(f"{sha256_file(path / name)}  {name}\n".encode())
    return digest.hexdigest()

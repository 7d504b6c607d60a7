"""Where checkpoints lie and whether they are what they say."""

import hashlib
from importlib import resources
from pathlib import Path

from guidegen.errors import WeightsError


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

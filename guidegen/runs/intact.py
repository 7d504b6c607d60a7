"""Whether the files of a finished run are still what the run left. Torch-free."""

import hashlib
import logging
from contextlib import suppress
from itertools import count
from pathlib import Path

from guidegen.errors import InputImageError
from guidegen.media.files import opened

log = logging.getLogger(__name__)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex; "" where there is none, or it can't be read."""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file is what it was.

    Args:
        path: of the file.
        sha256: of its content; "" of a run by an older guidegen: then a picture must be readable,
            and any other file be there.
    """
    if sha256:
        return sha256_of(path) == sha256
    return is_readable(path) if path.suffix == ".png" else path.is_file()


def is_readable(path: Path) -> bool:
    """Whether a picture can be decoded to its end."""
    with suppress(InputImageError), opened(path, "picture") as image:
        image.load()
        return True
    return False


def set_aside(path: Path) -> None:
    """Rename a picture that somebody put in the place of ours; a damaged one is not kept."""
    if not is_readable(path):
        return
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    free = next(name for name in names if not name.exists())
    with suppress(OSError):
        path.rename(free)
        log.warning("the picture that lay at %s is kept as %s", path, free.name)

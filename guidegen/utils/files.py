"""Files that are absent or complete. Torch-free.

Everything final is written to a temporary name in the same folder, flushed to the disk and renamed.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO

from guidegen.errors import GuidegenError, OutputError
from guidegen.utils.failpoints import failpoint

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MOMENT = 1.0  # seconds


def make_folder(path: Path) -> Path:
    """Make a folder and those above it.

    Raises:
        OutputError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"can't make the folder {path}: {error.strerror or error}") from error
    return path


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` at the end, or vanishes if anything fails.

    Args:
        path: the file.
        durable: flushed to the disk, so that it lasts through a power cut.

    Raises:
        OutputError: the file can't be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        failpoint("create", path.name)
        yield temporary
        if durable:
            failpoint("fsync", path.name)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        failpoint("rename", path.name)
        temporary.replace(path)
        failpoint("renamed", path.name)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, GuidegenError):
            raise
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> Path:
    """Write a whole file, or nothing; `durable` as for `replacing`.

    Raises:
        OutputError: the file can't be written.
    """
    with replacing(path, durable=durable) as temporary, temporary.open("wb") as file:
        hold(file)
        half = len(data) // 2
        file.write(data[:half])
        failpoint("write", path.name)
        file.write(data[half:])
    return path


def hold(file: IO[bytes]) -> None:
    """Mark a temporary file as being written, for as long as it is open."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks: nobody clears up there
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_orphans(path: Path) -> None:
    """Remove what processes that were killed while they wrote a file left beside it."""
    for orphan in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        with suppress(OSError):
            # a moment passes between the making of a file and the hold on it
            if time.time() - orphan.stat().st_mtime > _MOMENT and _abandoned(orphan):
                orphan.unlink()


def _abandoned(path: Path) -> bool:
    if fcntl is None:  # Windows removes no file that is open
        return True
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; a no-op where folders can't be opened (Windows)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

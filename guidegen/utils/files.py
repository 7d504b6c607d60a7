"""Files that are absent or complete. Torch-free.

Everything final is written to a temporary name in the same folder, flushed to the disk and renamed.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guidegen.errors import GuidegenError, OutputError
from guidegen.utils.failpoints import failpoint


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
        half = len(data) // 2
        file.write(data[:half])
        failpoint("write", path.name)
        file.write(data[half:])
    return path


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; a no-op where folders can't be opened (Windows)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

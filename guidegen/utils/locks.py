"""One process at a time. Torch-free.

The kernel releases a lock when its process ends, however it ends; no stale lock is ever left.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from guidegen.errors import OutputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
# What flock answers on a file system that has no locks, some network and FUSE mounts among them.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder for the length of a `with` block. Without locks in the file system: go ahead.

    Args:
        folder: it is there already.
        what: what is being made, for the message.

    Raises:
        OutputError: another process holds it, or nothing can be written there.
    """
    path = folder / LOCK
    lock = _lock(path)
    if not _acquired(lock, path, wait=False):
        raise OutputError(
            f"another guidegen (process {_owner(path)}) is making {what} in {folder}; "
            "wait for it, or stop it"
        )
    try:
        with suppress(OSError):  # Windows lets nobody write into what is locked
            path.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        # removed while still held, so that nobody else's is removed
        with suppress(OSError):
            path.unlink()
        lock.release()


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a `with` block, after whoever holds it now.

    Raises:
        OutputError: it can't be written.
    """
    lock = _lock(path)
    _acquired(lock, path, wait=True)
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path) -> "BaseFileLock":
    from filelock import FileLock  # 0.1 s that a list of models need not wait for

    # a soft lock, a file that is there or not, would outlive a killed process
    return FileLock(path, mode=0o644, fallback_to_soft=False)


def _acquired(lock: "BaseFileLock", path: Path, *, wait: bool) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    return True


def _owner(path: Path) -> str:
    """The process that wrote its number into the lock file."""
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()[:32] or "unknown"
    return "unknown"

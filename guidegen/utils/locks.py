"""One process at a time. Torch-free.

The kernel releases the lock when its process ends, however it ends; no stale lock is ever left.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guidegen.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder for the length of a `with` block.

    Args:
        folder: it is there already.
        what: what is being made, for the message.

    Raises:
        OutputError: another process holds it, or nothing can be written there.
    """
    path = folder / LOCK
    handle = _acquire(path, what)
    try:
        yield
    finally:
        # removed while still held, so that nobody else's is removed
        with suppress(OSError):
            path.unlink()
        os.close(handle)


@contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a `with` block, after whoever holds it now.

    Raises:
        OutputError: it can't be written.
    """
    handle = _open(path)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    try:
        # Windows has no O_CLOEXEC, and needs none
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error


def _acquire(path: Path, what: str) -> int:
    while True:
        handle = _open(path)
        if fcntl is None:
            return handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise OutputError(
                f"another guidegen (process {owner}) is making {what} in {path.parent}; "
                "wait for it, or stop it"
            ) from None
        except OSError:  # a file system without locks
            return handle
        # the holder before may have removed the file between our open and our lock
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
        os.close(handle)

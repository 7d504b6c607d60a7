"""How much memory there is, and keeping large buffers of it. Torch-free."""

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
# Parameters of mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGE, _PAD = 1 << 30, 64 << 20
_SMALL = 16 << 20


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say.

    On Linux what the kernel calls available, or what the control group (a container) still allows.
    """
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        limit = int((_CGROUP / "memory.max").read_text())
        found.append(max(0, limit - int((_CGROUP / "memory.current").read_text())))
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def keep_large_buffers() -> bool:
    """Tell glibc to take buffers of up to 1 GiB from its heap and to keep what is freed there.

    A step frees and asks for the same large tensors again and again; by default each comes from the
    kernel, page by page: 9,763 page faults for eight images through the embedded CLIP and back,
    and none so. It is for programs, not for libraries: freed memory stays with the process.

    Returns:
        Whether it was done: on Linux with glibc, unless the environment sets the allocator up.
    """
    return _set({_MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: _LARGE, _TOP_PAD: _PAD})


def return_large_buffers() -> bool:
    """Tell glibc to take buffers of 16 MiB and more from the kernel and to give them back at once.

    The heap of glibc often can't put an aligned buffer where one of the same length was before,
    so it grows; for pictures of 50 MiB and more that is worth the page faults: painting 2048 px
    peaks far lower.

    Returns:
        As `keep_large_buffers`.
    """
    return _set({_MMAP_THRESHOLD: _SMALL})


def _set(parameters: Mapping[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # musl, for one, has none
    return all([mallopt(name, value) == 1 for name, value in parameters.items()])

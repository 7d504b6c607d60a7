"""What the numerical libraries read from the environment as they load. Torch-free.

`prepare` runs when `guidegen` is imported, before torch. A value that the user has set stays.
"""

import os
import sys
from collections.abc import MutableMapping
from functools import cache

_SPINS = "1000"
# The lines of one processor are some two thousand characters.
_LONGEST = 20_000


def prepare(environment: MutableMapping[str, str] | None = None) -> None:
    """Set what must be known before torch loads.

    `MKL_CBWR` is MKL's conditional numerical reproducibility. Without it the order in which a
    matrix product sums depends on the number of threads and of rows, so that a picture would
    depend on them as well.

    `GOMP_SPINCOUNT` is how often an OpenMP thread looks for work before it sleeps. GNU's default,
    300,000, is milliseconds: on a busy machine threads burn the time that the one they wait for
    would need. A thousand is tens of microseconds, which bridges the gaps between two kernels.

    Args:
        environment: None is that of this process.

    Source: oneMKL developer guide, "Obtaining Numerically Reproducible Results"; GNU libgomp
    manual, "Environment Variables".
    """
    environment = os.environ if environment is None else environment
    environment.setdefault("MKL_CBWR", reproducible_branch(cpu_flags()))
    if "OMP_WAIT_POLICY" not in environment:  # which says how to wait as well
        environment.setdefault("GOMP_SPINCOUNT", _SPINS)


def reproducible_branch(flags: frozenset[str]) -> str:
    """The value of `MKL_CBWR` for a processor with these flags: its widest, in strict mode.

    Strict mode makes products independent of the number of threads; MKL documents it for AVX2 and
    AVX-512. On processors of other makers MKL takes its automatic branch, strict as well.
    """
    if "avx512f" in flags:
        return "AVX512,STRICT"
    return "AVX2,STRICT" if "avx2" in flags else "AUTO"


def cpu_flags() -> frozenset[str]:
    """The instruction sets of this processor as Linux names them; empty on other systems."""
    return frozenset(_cpu_info().get("flags", "").split())


def cpu_model() -> str:
    """The processor in words; "" where that can't be told."""
    import platform

    return _cpu_info().get("model name", "") or platform.processor() or platform.machine()


@cache
def _cpu_info() -> dict[str, str]:
    """The lines of the first processor in /proc/cpuinfo."""
    if not sys.platform.startswith("linux"):
        return {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST)
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}

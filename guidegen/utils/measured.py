"""Times that were measured on this machine, kept in the cache folder. Torch-free.

One JSON file a measurement, written atomically. A file that is missing, damaged or of another
measurement is measured again; a folder that can't be written only means that nothing is kept.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from guidegen.errors import OutputError
from guidegen.utils.files import write_atomic

Clock = Callable[[], float]
# Seconds that one measurement may take, warming up left out, and how often each piece is run.
_BUDGET, _TIMES = 1.0, 5


def cache_folder() -> Path:
    """Folder for what can be computed again: $GUIDEGEN_CACHE, or the platform's own."""
    import platformdirs

    return Path(os.environ.get("GUIDEGEN_CACHE") or platformdirs.user_cache_dir("guidegen"))


def fastest(runs: Mapping[str, Callable[[], object]], clock: Clock) -> dict[str, float]:
    """Milliseconds of each piece of work: the least of a few runs, in turns, after one to warm up.

    The least, since what else runs on the machine only ever adds.

    Args:
        runs: name -> one run.
        clock: seconds.
    """
    for run in runs.values():
        run()
    best = dict.fromkeys(runs, math.inf)
    begun = clock()
    for _ in range(_TIMES):
        for name, run in runs.items():
            start = clock()
            run()
            best[name] = min(best[name], 1000 * (clock() - start))
        if clock() - begun > _BUDGET:
            break
    return best


def remembered(key: Mapping[str, object], names: Iterable[str]) -> dict[str, float] | None:
    """The times that were measured under this key, in the order of `names`, or None."""
    try:
        data = json.loads(_path(key).read_text(encoding="utf-8"))
        times = {name: float(data["milliseconds"][name]) for name in names}
        same = data["key"] == json.loads(json.dumps(key))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    sound = all(math.isfinite(taken) and taken > 0 for taken in times.values())
    return times if same and sound else None


def remember(key: Mapping[str, object], times: dict[str, float]) -> dict[str, float]:
    """Keep times under this key; returns those of another process that was quicker, if any."""
    earlier = remembered(key, times)
    if earlier is not None:
        return earlier
    path = _path(key)
    text = json.dumps({"key": key, "milliseconds": times}, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    except (OSError, OutputError):
        pass
    return times


def _path(key: Mapping[str, object]) -> Path:
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "speed" / f"{name}.json"

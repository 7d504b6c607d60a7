"""Removes what the studio keeps of its own and nothing refers to any more."""

import re
import time
from contextlib import suppress
from pathlib import Path

from guidegen.runs.run import MANIFEST, walk_runs
from guidegen.studio.places import OWN, Places
from guidegen.studio.queue.jobs import Queue

_WEEK = 7 * 24 * 3600.0
_ID = re.compile(rb"[0-9a-f]{32}")


def prune(places: Places, queue: Queue) -> None:
    """Remove pictures that were brought and small pictures of starts, once nobody needs them.

    A picture stays for a week after it was last asked for, and as long as a job of the queue, a
    list or a run names it, be the run in the trash. A start stays as long as its job.
    """
    jobs = {job.id for job in queue.jobs()}
    for path in (places.own / "starts").glob("*.jpg"):
        if path.stem.rpartition("-")[0] not in jobs:
            path.unlink(missing_ok=True)
    old = {path.name: path for path in places.uploads.glob("*") if _is_old(path)}
    if not old:
        return
    runs = walk_runs(places.root, lambda name: name != OWN)
    manifests = [run / MANIFEST for run, _ in runs]
    for path in [queue.path, *(places.own / "lists").glob("*/*"), *manifests]:
        with suppress(OSError):
            for name in _ID.findall(path.read_bytes()):
                old.pop(name.decode(), None)
    for path in old.values():
        if _is_old(path):  # nobody asked for it meanwhile
            path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    with suppress(OSError):
        stat = path.stat()
        return time.time() - max(stat.st_atime, stat.st_mtime) > _WEEK
    return False

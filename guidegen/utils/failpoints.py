"""Named places where a test can make a program fail. Torch-free, and free where none is set.

    GUIDEGEN_FAILPOINT=NAME[@DETAIL]:COUNT:ACTION[;...]

At the COUNT-th time (from 1) that the place NAME is reached (with DETAIL, where one is given) the
ACTION happens: `kill`, `int`, `term` or `hup` (that signal to this process), `enospc` (full disk),
`wait` (until a writer opens and closes the FIFO $GUIDEGEN_FAILPOINT_FIFO) or `raise` (an error that
nobody expects). With GUIDEGEN_FAILPOINT_LOG=FILE every place reached is appended to that file as
`NAME@DETAIL`, so that a test can list them all and then go through them one by one.

Source of the idea: FreeBSD's fail(9) and https://sqlite.org/testing.html, section 3.
"""

import errno
import os
import signal
from collections import Counter

_SIGNALS = {"kill": "SIGKILL", "int": "SIGINT", "term": "SIGTERM", "hup": "SIGHUP"}
_reached: Counter[str] = Counter()


def failpoint(name: str, detail: str = "") -> None:
    """Fail here, if the environment says so.

    Args:
        name: the place.
        detail: which of its uses, like the name of the file that is written.
    """
    plan = os.environ.get("GUIDEGEN_FAILPOINT")
    log = os.environ.get("GUIDEGEN_FAILPOINT_LOG")
    if plan is None and log is None:
        return
    place = f"{name}@{detail}"
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(place + "\n")
    for item in (plan or "").split(";"):
        where, _, rest = item.partition(":")
        number, _, action = rest.partition(":")
        if number and where in (name, place):
            _reached[item] += 1
            if _reached[item] == int(number):
                _fail(action, place)


def _fail(action: str, place: str) -> None:
    if action in _SIGNALS:
        os.kill(os.getpid(), getattr(signal, _SIGNALS[action]))
        return
    if action == "wait":
        with open(os.environ["GUIDEGEN_FAILPOINT_FIFO"], "rb") as fifo:
            fifo.read()
        return
    if action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)
    raise RuntimeError(f"fail-point {place}")

"""Ctrl-C, SIGTERM and SIGHUP: the first asks for a stop after the step, the second leaves at once.

A SIGHUP never leaves at once. Torch-free. An exception raised from a signal handler could land
anywhere, also in the middle of an update; so the handler only sets the `Stop` that the run looks at
between two steps.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from guidegen.utils.stop import Stop

# Windows has no SIGHUP
_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


_HANGUP = getattr(signal, "SIGHUP", None)


@contextmanager
def stopping_on_signals(stop: Stop) -> Iterator[None]:
    """Within this block signals set `stop`; a signal that was ignored stays so (nohup).

    Does nothing outside the main thread, which no signal reaches.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        # a terminal that is closed tells so more than once: the shell does, and the kernel
        if stop and number != _HANGUP:
            os._exit(128 + number)
        stop.set(signal.Signals(number).name, signal=number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, on_signal)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])

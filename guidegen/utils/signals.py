"""Ctrl-C and SIGTERM: the first asks for a stop after the step, the second leaves at once.

Torch-free. An exception raised from a signal handler could land anywhere, also in the middle of an
update; so the handler only sets a flag, and the loop looks at it between two steps.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a stop was asked for.

    Attributes:
        signal: number of the signal that asked; 0 while none did.
    """

    def __init__(self) -> None:
        self.signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """What shells show for a program that a signal ended: 130 or 143."""
        return 128 + self.signal

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number


@contextmanager
def deferred() -> Iterator[Stop]:
    """Within this block signals only set the flag; outside the main thread there is none to see."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop._on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""One thread computes at a time, and all that want to come round in turn."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A fair lock: whoever gives way goes to the end of the line.

    Several runs that each give way after a step advance together, a step of each in turn, so that
    none waits for another's end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: deque[threading.Event] = deque()
        self._busy = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn for the length of a `with` block."""
        self._take()
        try:
            yield
        finally:
            self._leave()

    def give_way(self) -> None:
        """Let everybody who waits have a turn, then take it again; by who holds it."""
        with self._lock:
            if not self._line:
                return
        self._leave()
        self._take()

    def _take(self) -> None:
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            mine = threading.Event()
            self._line.append(mine)
        mine.wait()

    def _leave(self) -> None:
        with self._lock:
            if self._line:
                self._line.popleft().set()  # handed on; nobody can come between
            else:
                self._busy = False

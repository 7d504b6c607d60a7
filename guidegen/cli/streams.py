"""Standard output and error that can't cost a drawing.

A terminal may be closed and a disk be full while a picture is being made. What can't be said on
stderr is not said; what can't be written to stdout is told in the end, by the exit code.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

from guidegen.utils.text import printable


class Enduring:
    """A text stream whose failures are remembered, not raised.

    Attributes:
        error: the first of them.
    """

    def __init__(self, stream: TextIO, *, pipes: bool) -> None:
        self._stream, self._pipes = stream, pipes
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self._pipes and isinstance(error, BrokenPipeError):
            raise error
        self.error = self.error or error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def enduring() -> Iterator[Enduring]:
    """Stand in for stdout and stderr in this block; yields the former.

    Only a pipe that nobody reads any more stays an error: `guidegen ... | head` is to stop.
    """
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, TextIOWrapper):
        # a path may hold what an old terminal can't show; that is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    out, err = Enduring(sys.stdout, pipes=True), Enduring(sys.stderr, pipes=False)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            if stream.error is not None:
                drop(stream)


def drop(stream: Any) -> None:
    """Send what a stream still holds nowhere: Python flushes it at its end, and would fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Warnings(logging.Handler):
    """The library logs; people read stderr, whatever that is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """One printable line."""
        print(f"guidegen: {printable(record.getMessage())}", file=sys.stderr, flush=True)

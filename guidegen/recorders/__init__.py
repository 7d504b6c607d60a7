"""Recorders watch the Steps of a run and write something down; none of them changes anything.

They are given a place to write by the engine and know nothing of run directories.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from typing import Protocol, runtime_checkable

from guidegen.errors import OutputError
from guidegen.interfaces import Step

__all__ = ["Every", "Harmless", "Recorder", "Write", "record"]

log = logging.getLogger(__name__)

# Writes a whole file of a run under a name, or nothing: `guidegen.runs.store.Run.write`.
Write = Callable[[str, bytes], object]


@runtime_checkable
class Recorder(Protocol):
    """Watches the Steps of one run."""

    def __call__(self, step: Step) -> None:
        """Take note of a step. Must not wait for the device at every step."""

    def close(self) -> None:
        """Finish what is half written; called once, also when the run breaks off."""


def record(steps: Iterable[Step], recorders: Sequence[Recorder]) -> Generator[Step, None, None]:
    """Show every step to every recorder, then pass it on.

    All recorders are closed on any exit: the end, an error in the loop or in a recorder, Ctrl-C, or
    a consumer that stops early. For the last of these wrap the result in `contextlib.closing`.
    """
    with ExitStack() as stack:
        for recorder in recorders:
            stack.callback(recorder.close)
        for step in steps:
            for recorder in recorders:
                recorder(step)
            yield step


class Every:
    """Shows a recorder each n-th step, and the last.

    Args:
        n: 1 shows all.
        recorder: who watches.
    """

    def __init__(self, n: int, recorder: Recorder) -> None:
        if n < 1:
            raise ValueError(f"every {n} steps is not possible; n starts at 1")
        self.n = n
        self.recorder = recorder

    def __call__(self, step: Step) -> None:
        """Pass the step on, if it is its turn."""
        if step.index % self.n == 0 or step.index == step.total:
            self.recorder(step)

    def close(self) -> None:
        """Close the recorder."""
        self.recorder.close()


class Harmless:
    """A recorder whose file is worth less than the run: that it can't be written is a warning.

    Args:
        recorder: who watches; it is shown no more steps after it failed.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._failed = False

    def __call__(self, step: Step) -> None:
        """Pass the step on."""
        if not self._failed:
            try:
                self.recorder(step)
            except OutputError as error:
                self._warn(error)

    def close(self) -> None:
        """Close the recorder."""
        try:
            self.recorder.close()
        except OutputError as error:
            self._warn(error)

    def _warn(self, error: OutputError) -> None:
        self._failed = True
        log.warning("%s; the run goes on", error)

"""Recorders watch the Steps of a run and write something down; none of them changes anything.

They are given a place to write by the engine and know nothing of run directories. What a recorder
returns may end the run: a text says why.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, TypeAlias, runtime_checkable

from guidegen.interfaces import Step

__all__ = ["BestEffort", "Recorder", "Recording", "StepCallback", "Write"]

log = logging.getLogger(__name__)

# Writes a whole file of a run under a name, or nothing: `guidegen.runs.store.Run.write`.
Write = Callable[[str, bytes], object]


@runtime_checkable
class Recorder(Protocol):
    """Watches the Steps of one run."""

    def __call__(self, step: Step) -> str | None:
        """Take note of a step. Must not wait for the device at every step.

        Returns:
            Why the run is to end with this step as a finished picture; None or "" goes on.
        """

    def close(self) -> None:
        """Finish what is half written; called once, also when the run breaks off."""


# A recorder, or a plain function that has nothing to close.
StepCallback: TypeAlias = Recorder | Callable[[Step], object]


class Recording:
    """Shows steps to recorders, and closes them all once, on any exit.

    A recorder that is a plain function needs no `close`. Only a text counts as an answer: functions
    return all sorts of things. One that raises StopIteration ends the run too.

    Args:
        recorders: all of them see every step.
    """

    def __init__(self, recorders: Iterable[StepCallback]) -> None:
        self._recorders = list(recorders)

    def __call__(self, step: Step) -> str:
        """Show a step to all; the first answer that ends the run, or "" to go on."""
        ending = ""
        for recorder in self._recorders:
            try:
                answer = recorder(step)
            except StopIteration as stop:
                answer = str(stop.value or "a recorder raised StopIteration")
            if isinstance(answer, str):
                ending = ending or answer
        return ending

    def close(self) -> None:
        """Close all, whatever one of them raises."""
        recorders, self._recorders = self._recorders, []
        with ExitStack() as stack:
            for recorder in recorders:
                if isinstance(recorder, Recorder):
                    stack.callback(recorder.close)

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class BestEffort:
    """A recorder whose file is worth less than the run: that it can't be written is a warning.

    Args:
        recorder: who watches; it is shown no more steps after it failed.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._failed = False

    def __call__(self, step: Step) -> str | None:
        """Pass the step on."""
        if not self._failed:
            try:
                return self.recorder(step)
            except OSError as error:
                self._warn(error)
        return None

    def close(self) -> None:
        """Close the recorder."""
        try:
            self.recorder.close()
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        self._failed = True
        log.warning("%s; the run goes on", error)

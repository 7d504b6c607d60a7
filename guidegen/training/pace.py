"""How far a training is on its way: by the steps that it made, or by the time that it used."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class Pace:
    """Where a training is, from 0 to `steps`.

    Without a limit of time that is the number of steps made. With one it is `steps` times the share
    of the time that is used, so that whatever is told in steps (learning rate, sizes, evaluations)
    comes at the same part of the way, however many steps a machine makes in that time.

    Args:
        steps: length of the way.
        minutes: how long it takes, counted from the end of the first step of a call, in which
            things are compiled and tuned; None counts steps.
        clock: seconds.

    Attributes:
        now: where the present step began; where the next one begins, between steps.
        before: where the step before began; -1 in the first.
    """

    def __init__(
        self,
        steps: int,
        minutes: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps, self.minutes, self._clock = steps, minutes, clock
        self._used = 0.0  # seconds of earlier calls
        self._started: float | None = None
        self.before, self.now = -1.0, 0.0

    def start(self, step: int) -> None:
        """Begin a call; `step` steps were made by earlier ones."""
        self.now = self.at(step)
        if self.minutes is None:
            self.before = step - 1

    def tick(self, step: int) -> None:
        """A step is done, the `step`-th."""
        if self._started is None:
            self._started = self._clock()
        self.before, self.now = self.now, self.at(step)

    def at(self, step: int) -> float:
        """Where a training is that has made so many steps."""
        if self.minutes is None:
            return step
        return min(self.steps, self.steps * self._seconds() / (60 * self.minutes))

    @property
    def over(self) -> bool:
        """Whether no step is left."""
        return self.now >= self.steps

    def passes(self, mark: float) -> bool:
        """Whether the present step is the first at or after `mark`."""
        return self.before < mark <= self.now

    def due(self, every: int) -> bool:
        """Whether a multiple of `every`, or the end, was reached by the step that is just done."""
        return self.over or self.now // every > self.before // every

    def _seconds(self) -> float:
        return self._used + (0.0 if self._started is None else self._clock() - self._started)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"seconds": self._seconds(), "before": self.before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._used, self.before = state["seconds"], state["before"]

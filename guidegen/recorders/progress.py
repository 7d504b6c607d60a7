"""How far the run is: a bar on a terminal, now and then a plain line in a log."""

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

from guidegen.interfaces import Step


class Progress:
    """Shows the step, the speed and the mean loss of the batch.

    The loss is fetched only when it is shown, since that waits for the device.

    Args:
        label: what is being made, shown in front.
        file: where to; None is stderr.
        interval: seconds between two lines of a log, and a tenth of it between two losses on a bar.
    """

    def __init__(
        self, label: str = "", *, file: TextIO | None = None, interval: float = 5.0
    ) -> None:
        self.label = label
        self.file = sys.stderr if file is None else file
        self.interval = interval
        self._started = self._shown = time.monotonic()
        self._bar: tqdm[Any] | None = None

    def __call__(self, step: Step) -> None:
        """Show the step, if it is time to."""
        now = time.monotonic()
        if self.file is None:  # there is no stderr, as under pythonw
            return
        if self.file.isatty():
            self._draw(step, now)
        elif now - self._shown >= self.interval or (step.index == step.total and step.total):
            self._shown = now
            self._line(step, now)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, step: Step, now: float) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=step.total,
                initial=step.index,
                desc=self.label or None,
                file=self.file,
                unit="step",
                leave=False,
                dynamic_ncols=True,
            )
            self._shown = 0.0
        self._bar.update(step.index - self._bar.n)
        if now - self._shown >= self.interval / 10 or step.index == step.total:
            self._shown = now
            self._bar.set_postfix(loss=f"{_loss(step):.3f}")

    def _line(self, step: Step, now: float) -> None:
        label = f"{self.label}: " if self.label else ""
        seconds = now - self._started
        print(
            f"{label}step {step.index}/{step.total}, loss {_loss(step):.3f}, {seconds:.0f} s",
            file=self.file,
            flush=True,
        )


def _loss(step: Step) -> float:
    total = step.losses.get("total")
    return float("nan") if total is None else float(total.float().mean())

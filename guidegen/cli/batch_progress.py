"""How far a list is: a bar on a terminal, now and then a plain line in a log."""

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm


class ListProgress:
    """Shows finished pictures and the time that remains.

    The estimate counts what this call drew, so pictures that were found finished do not flatter it.

    Args:
        total: pictures of the whole list.
        file: where to; None is stderr.
        interval: seconds between two lines of a log.
    """

    def __init__(self, total: int, *, file: TextIO | None = None, interval: float = 5.0) -> None:
        self.total = total
        self.file = sys.stderr if file is None else file
        self.interval = interval
        self.done = self.found = self.failed = 0
        self._advancing, self._part = 0, 0.0
        self._started = self._shown = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if self.file.isatty():
            self._bar = tqdm(
                total=total,
                file=self.file,
                dynamic_ncols=True,
                leave=False,
                bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} pictures{postfix}",
            )

    def step(self, jobs: int, step: int, steps: int) -> None:
        """Some jobs that advance together came to a step."""
        self._advancing, self._part = jobs, jobs * step / max(1, steps)
        self._show()

    def finished(self, *, reused: bool, failed: bool) -> None:
        """A job is done with."""
        self.done += 1
        self.found += reused
        self.failed += failed
        if self._advancing and not reused:
            self._part = max(0.0, self._part - 1)
            self._advancing -= 1
        self._show(last=self.done == self.total)

    def say(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self._bar is None:
            print(text, file=self.file, flush=True)
        else:
            tqdm.write(text, file=self.file)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def remaining(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None while nothing was drawn."""
        drawn = self.done - self.found + self._part
        if drawn <= 0:
            return None
        left = max(0.0, self.total - self.done - self._part)
        return (time.monotonic() - self._started) / drawn * left

    def _show(self, *, last: bool = False) -> None:
        now = time.monotonic()
        wait = 0.2 if self._bar is not None else self.interval
        if now - self._shown < wait and not last:
            return
        self._shown = now
        rest = self._rest()
        if self._bar is not None:
            self._bar.n = min(self.total, self.done + self._part)
            self._bar.set_postfix_str(rest)
        else:
            self.say(f"{self.done} of {self.total} pictures{', ' if rest else ''}{rest}")

    def _rest(self) -> str:
        parts = [f"{self.failed} failed"] if self.failed else []
        left = self.remaining()
        if left is not None and self.done < self.total:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time for people: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"

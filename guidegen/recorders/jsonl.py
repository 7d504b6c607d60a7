"""The numbers of every step, as lines of JSON."""

import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from guidegen.errors import OutputError
from guidegen.interfaces import Step


class Jsonl:
    """Writes `steps.jsonl`: one line a step of one candidate.

    Losses stay on the device for some steps and are fetched together, so that the loop does not
    wait for the device. Lines are appended: after a crash the file ends earlier, maybe within a
    line.

    Args:
        path: the file; an earlier one is replaced.
        row: which candidate.
        flush_every: steps between two fetches.

    Raises:
        OutputError: the file can't be written.
    """

    def __init__(self, path: Path, *, row: int = 0, flush_every: int = 20) -> None:
        self.path = path
        self.row = row
        self.flush_every = flush_every
        self._pending: list[tuple[int, float, float, dict[str, Tensor]]] = []
        self._started = time.monotonic()
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"can't write {path}: {error.strerror or error}") from error

    def __call__(self, step: Step) -> None:
        """Note the losses, without fetching them yet."""
        seconds = time.monotonic() - self._started
        self._pending.append((step.index, step.lr, seconds, dict(step.losses)))
        if len(self._pending) >= self.flush_every:
            self._flush()

    def close(self) -> None:
        """Write what is pending and close the file."""
        if self._file.closed:
            return
        try:
            self._flush()
        finally:
            self._file.close()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        tensors = [loss for *_, losses in pending for loss in losses.values()]
        if not pending:
            return
        # One transfer for all of them.
        values = iter(torch.stack([loss[self.row].float() for loss in tensors]).tolist())
        try:
            for index, lr, seconds, losses in pending:
                line = {
                    "step": index,
                    "losses": {name: _number(next(values)) for name in losses},
                    "lr": float(f"{lr:.6g}"),
                    "seconds": round(seconds, 3),
                }
                self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"can't write {self.path}: {error.strerror or error}") from error


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return round(value, 6) if math.isfinite(value) else None

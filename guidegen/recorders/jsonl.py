"""The numbers of every step, as lines of JSON."""

import json
import math
import time
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from guidegen.errors import OutputError
from guidegen.interfaces import Step
from guidegen.utils.failpoints import failpoint
from guidegen.utils.parse import parse_json

# Step, learning rate, seconds, losses and scores.
_Told = tuple[int, float, float, dict[str, Tensor], dict[str, Tensor]]


class Jsonl:
    """Writes `steps.jsonl`: one line a step of one candidate.

    Losses stay on the device for some steps and are fetched together, so that the loop does not
    wait for the device. Lines are appended: after a crash the file ends earlier, maybe within a
    line.

    Args:
        path: the file; an earlier one is replaced.
        row: which candidate.
        flush_every: steps between two fetches.
        resume_at: the run goes on at this step: the lines before it stay.

    Raises:
        OutputError: the file can't be written.
    """

    def __init__(
        self, path: Path, *, row: int = 0, flush_every: int = 20, resume_at: int = 0
    ) -> None:
        self.path = path
        self.row = row
        self.flush_every = flush_every
        self._pending: list[_Told] = []
        self._started = time.monotonic()
        kept = _lines_before(path, resume_at) if resume_at else []
        if kept:
            self._started -= _seconds(kept[-1])
        try:
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
            temporary.replace(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"can't write {path}: {error.strerror or error}") from error

    def __call__(self, step: Step) -> None:
        """Note the losses, without fetching them yet."""
        seconds = time.monotonic() - self._started
        told = (dict(step.losses), dict(step.scores))
        self._pending.append((step.index, step.lr, seconds, *told))
        if len(self._pending) >= self.flush_every:
            self._flush()

    def save(self) -> None:
        """Write what is pending."""
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
        tensors = [value for *_, losses, scores in pending
                   for value in (*losses.values(), *scores.values())]  # fmt: skip
        if not pending:
            return
        # One transfer for all of them.
        values = iter(torch.stack([loss[self.row].float() for loss in tensors]).tolist())
        try:
            for index, lr, seconds, losses, scores in pending:
                line = {
                    "step": index,
                    "losses": {name: _number(next(values)) for name in losses},
                    **({"scores": {n: _number(next(values)) for n in scores}} if scores else {}),
                    "lr": float(f"{lr:.6g}"),
                    "seconds": round(seconds, 3),
                }
                failpoint("append", self.path.name)
                self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"can't write {self.path}: {error.strerror or error}") from error


def _lines_before(path: Path, step: int) -> list[str]:
    """The whole lines of an earlier file whose step comes before `step`."""
    kept: dict[int, str] = {}
    try:
        # one that never ends is not worth waiting for
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return []
    for line in text.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            index = parse_json(line)["step"]
            if isinstance(index, int) and index < step:
                kept[index] = line
    return [kept[index] for index in sorted(kept)]


def _seconds(line: str) -> float:
    """When a kept line was written, counted from the start; 0 where it doesn't say."""
    value = parse_json(line).get("seconds")
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and 0 <= value < 1e9 else 0.0


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return round(value, 6) if math.isfinite(value) else None

"""What is known of a job while it is being drawn: steps, losses and small pictures."""

import io
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from guidegen.engine.stream_step import StreamStep

# Seconds between two previews, and between two looks at the similarity, which costs a pass of CLIP.
EVERY = 0.5
_LOOK_EVERY = 3.0
# Pixels of the longer side of a preview.
SIDE = 512
_QUALITY = 85
# Points of a curve that a page gets; of longer runs every n-th is kept.
_POINTS = 600


@dataclass
class Candidate:
    """One picture in the making.

    Attributes:
        step: that it is at.
        loss: of this step.
        similarity: to the prompt, when it was last looked at.
        points: [step, loss, similarity or None].
        preview: a JPEG.
        version: of the preview; rises.
    """

    step: int = 0
    loss: float | None = None
    similarity: float | None = None
    points: list[list[float | None]] = field(default_factory=list)
    preview: bytes = b""
    version: int = 0
    every: int = 1

    def note(self, step: int, loss: float) -> None:
        """Add a point to the curve."""
        self.step, self.loss = step, loss
        if step % self.every == 0:
            self.points.append([step, round(loss, 5), self.similarity])
        if len(self.points) > _POINTS:
            self.points, self.every = self.points[::2], 2 * self.every

    def row(self, number: int) -> dict[str, Any]:
        """What an event tells."""
        return {
            "n": number, "step": self.step, "loss": self.loss, "similarity": self.similarity,
            "preview": self.version, "point": self.points[-1] if self.points else None,
        }  # fmt: skip


class Live:
    """A job's candidates. Written by the thread that draws, read by those that serve."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.candidates: dict[int, Candidate] = {}
        self.total = 0
        self.first_step = 0
        self.turn = 0.0  # seconds of the last turn at computing
        self._due, self._look_due, self._due_step = 0.0, 0.0, -1
        self._looking = False
        self._begun, self._begun_at = 0.0, -1

    def see(self, number: int, step: StreamStep) -> bool:
        """Take note of a step.

        Returns:
            Whether there is a new preview, so that pages should be told.
        """
        now = time.monotonic()
        if self._begun_at < 0 or step.index <= self._begun_at:
            self._begun, self._begun_at = now, step.index
        if step.index != self._due_step:  # all candidates of a step are shown together
            shown = now >= self._due or step.index in (0, step.total)
            if shown:
                self._due, self._due_step = now + EVERY, step.index
                self._looking = now >= self._look_due or step.index == step.total
                self._look_due = now + _LOOK_EVERY if self._looking else self._look_due
        shown = step.index == self._due_step
        similarity = step.similarity if shown and self._looking else None
        preview = as_jpeg(step.preview(SIDE)) if shown else b""
        with self._lock:
            one = self.candidates.setdefault(number, Candidate())
            if similarity is not None:
                one.similarity = round(similarity, 5)
            one.note(step.index, step.loss)
            self.total = step.total
            if shown:
                one.preview, one.version = preview, one.version + 1
        return shown

    def seconds_left(self) -> float | None:
        """Of the candidates at hand, from the pace so far; None while there is none."""
        with self._lock:
            step = max((one.step for one in self.candidates.values()), default=0)
        done = step - self._begun_at
        if self._begun_at < 0 or done < 1:
            return None
        pace = (time.monotonic() - self._begun) / done
        return round(pace * (self.total - step), 1)

    def event(self, job: str) -> dict[str, Any]:
        """The news of this moment."""
        left = self.seconds_left()
        with self._lock:
            rows = [one.row(number) for number, one in sorted(self.candidates.items())]
        return {"job": job, "total": self.total, "left": left, "candidates": rows}

    def whole(self, job: str) -> dict[str, Any]:
        """As `event`, with the whole curves: what a page that comes later needs."""
        data = self.event(job)
        with self._lock:
            for row in data["candidates"]:
                row["points"] = list(self.candidates[row["n"]].points)
        return data

    def preview(self, number: int) -> bytes:
        """The small picture of a candidate, a JPEG; b"" while there is none."""
        with self._lock:
            one = self.candidates.get(number)
            return one.preview if one else b""


def as_jpeg(image: Image.Image) -> bytes:
    """A small picture for the page."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()

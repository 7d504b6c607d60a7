"""A video of the run, written while it goes."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import torch
from torch import Tensor

from guidegen.errors import OutputError
from guidegen.interfaces import Step
from guidegen.media.mp4 import finish, prepend, trim
from guidegen.media.video_encoder import LIVE_MP4, Encoder, Frame
from guidegen.ops import to_bytes
from guidegen.runs.store import VIDEO
from guidegen.utils.failpoints import failpoint

log = logging.getLogger(__name__)

PART = "progress.part.mp4"
_EARLIER = "progress.old.mp4"
# Frames that may wait for the encoder; then the loop waits too, rather than fill the memory.
_WAITING = 64
_LONGEST = 20.0  # seconds that a video may last where nobody says which steps it shows

# Yields a temporary path that becomes the given one at the end: `guidegen.utils.files.replacing`.
Replacing = Callable[[Path], AbstractContextManager[Path]]


class LiveVideo:
    """Writes `progress.part.mp4` step by step, and `progress.mp4` at the end.

    The part is a fragmented MP4 that plays up to its last frame whenever the process ends; it is
    turned into an ordinary MP4 and removed when the recorder is closed, also by a run that breaks
    off. One thread encodes. Frames that it has not taken wait in a queue; only when 64 wait does
    the loop. A video that can't be written is reported by `close`, not before.

    Args:
        folder: the run directory.
        replacing: writes a whole file, or nothing.
        row: which candidate.
        fps: frames per second.
        every: shows each n-th step, and the last; None fits the run into 20 seconds.
        resume_at: the run goes on at this step: the frames before it are kept.
        metadata: "title", "comment" and "description" of the file.
    """

    def __init__(
        self,
        folder: Path,
        replacing: Replacing,
        *,
        row: int = 0,
        fps: float = 30,
        every: int | None = None,
        resume_at: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if every is not None and every < 1:
            raise ValueError(f"every {every} steps is not possible; it starts at 1")
        self.folder = folder
        self.replacing = replacing
        self.row = row
        self.fps = fps
        self.every = every
        self.resume_at = resume_at
        self.metadata = dict(metadata or {})
        self._queue: Queue[tuple[int, Tensor, Any] | None] = Queue(_WAITING)
        self._thread: Thread | None = None
        self._error: Exception | None = None

    def __call__(self, step: Step) -> None:
        """Hand the picture to the encoder."""
        if self.every is None:
            self.every = max(1, -(-step.total // int(self.fps * _LONGEST)))
        if step.index % self.every and step.index != step.total:
            return
        if self._thread is None:
            self._thread = Thread(target=self._encode, name="video", daemon=True)
            self._thread.start()
        self._queue.put((-(-step.index // self.every), *_fetch(step.images[self.row])))

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputError: it can't be written.
        """
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join()
        self._thread = None
        part, path = self.folder / PART, self.folder / VIDEO
        try:
            if self._error is not None:
                raise self._error
            with self.replacing(path) as temporary:
                finish(part, temporary)
            part.unlink(missing_ok=True)
        except Exception as error:  # libav has many
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            kept = f"; the frames so far are in {PART}" if part.is_file() else ""
            raise OutputError(f"can't write the video {path}: {why}{kept}") from error

    def _encode(self) -> None:
        """The thread: takes frames until None; after an error it throws them away."""
        encoder: Encoder | None = None
        file = None
        while (item := self._queue.get()) is not None:
            try:
                if self._error is None:
                    number, picture, ready = item
                    if ready is not None:
                        ready.synchronize()
                    frame = picture.numpy()
                    failpoint("write", PART)
                    if file is None:
                        earlier = self._earlier()
                        file = (self.folder / PART).open("wb", buffering=0)
                        encoder = Encoder(file, LIVE_MP4, self.fps, metadata=self.metadata)
                        self._take(earlier, encoder, frame)
                    assert encoder is not None
                    encoder.add(frame, number)
            except Exception as error:  # libav has many; `close` reports it
                self._error = error
        try:
            if encoder is not None:
                encoder.close()
        except Exception as error:
            self._error = self._error or error
        finally:
            if file is not None:
                file.close()

    def _earlier(self) -> Path | None:
        """The video that this one goes on from, out of the way of the new part."""
        old, part, whole = self.folder / _EARLIER, self.folder / PART, self.folder / VIDEO
        if not self.resume_at:
            old.unlink(missing_ok=True)
            return None
        # both are there if the process was killed while it took over the frames
        if part.is_file() and not old.is_file():
            part.replace(old)
        if old.is_file():
            trim(old)
        return next((path for path in (old, whole) if path.is_file()), None)

    def _take(self, earlier: Path | None, encoder: Encoder, frame: Frame) -> None:
        if earlier is None:
            return
        assert self.every is not None
        before = -(-self.resume_at // self.every)
        height, width = frame.shape[:2]
        try:
            prepend(earlier, encoder, size=(height, width), before=before)
        except Exception as error:  # libav has many; a video with a hole is better than none
            log.warning("%s can't be read (%s); the video lacks its frames", earlier, error)
        with suppress(OSError):
            (self.folder / _EARLIER).unlink(missing_ok=True)


@torch.no_grad()
def _fetch(image: Tensor) -> tuple[Tensor, Any]:
    """A picture [3, H, W] in [0, 1] as bytes [H, W, 3] on the CPU, and when they have arrived.

    On CUDA the copy goes on by itself, and the event tells when it is done.
    """
    levels = to_bytes(image)
    if levels.device.type != "cuda":
        return levels.cpu(), None
    host = torch.empty(levels.shape, dtype=torch.uint8, pin_memory=True)
    host.copy_(levels, non_blocking=True)
    ready = torch.cuda.Event()
    ready.record(torch.cuda.current_stream(levels.device))
    return host, ready

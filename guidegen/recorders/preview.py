"""A small picture of how far the run is, for people and programs that look into its folder."""

import io
import time
from pathlib import Path

from guidegen.interfaces import Step
from guidegen.media.images import preview
from guidegen.utils.files import write_atomic

FILE = "preview.png"
_SIDE = 256
_COMPRESSION = 1  # of zlib: the file lives for a second


class Preview:
    """Keeps `preview.png` up to date while the run goes; it goes when the recorder is closed.

    Args:
        folder: the run directory.
        row: which candidate.
        interval: seconds between two versions; bringing a picture to the CPU waits for the device.
        size: pixels of its longer side.
    """

    def __init__(
        self, folder: Path, *, row: int = 0, interval: float = 1.0, size: int = _SIDE
    ) -> None:
        self.path = folder / FILE
        self.row, self.interval, self.size = row, interval, size
        self._written = float("-inf")

    def __call__(self, step: Step) -> None:
        """Write the picture of this step, if it is time to.

        Raises:
            OutputError: it can't be written.
        """
        if time.monotonic() - self._written < self.interval:
            return
        buffer = io.BytesIO()
        image = preview(step.images[self.row], self.size)
        image.save(buffer, "PNG", compress_level=_COMPRESSION)
        write_atomic(self.path, buffer.getvalue(), durable=False)
        self._written = time.monotonic()

    def close(self) -> None:
        """Remove it: the picture itself takes its place.

        Raises:
            OSError: it can't be removed.
        """
        self.path.unlink(missing_ok=True)

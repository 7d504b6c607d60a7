"""The way of a run, moment by moment: pictures decoded again from its recorded latents."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from guidegen.errors import InputImageError
from guidegen.runs.store import Run
from guidegen.studio.queue.live import as_jpeg
from guidegen.video.playback import Source, decode, open_source, to_frame
from guidegen.video.settings import width_for

# Runs whose latents stay in memory for the next moment.
_KEPT = 2
_SIDE = 512


class Moments:
    """Decodes moments of runs. For one thread at a time."""

    def __init__(self) -> None:
        self._sources: OrderedDict[tuple[Path, int], Source] = OrderedDict()

    def steps(self, path: Path) -> dict[str, Any]:
        """The steps whose latents a run recorded, and how many it has.

        Raises:
            GuidegenError: there are none, or its generator can't be loaded.
        """
        stored = self._source(path).stored
        return {"steps": list(stored.steps), "total": stored.total}

    def picture(self, path: Path, index: int) -> bytes:
        """The picture of one of them, a JPEG of at most 512 pixels a side.

        Args:
            path: the run directory.
            index: which of the recorded steps, from 0.

        Raises:
            GuidegenError: as `steps`, or there is no such step.
        """
        from PIL import Image

        source = self._source(path)
        if not 0 <= index < len(source.stored.steps):
            raise InputImageError(f"the run recorded no moment {index}")
        latents = {name: value[index] for name, value in source.stored.latents.items()}
        height = min(source.size[0], _SIDE)
        size = (height, min(width_for(height, source.size), 4 * _SIDE))
        (image,) = decode(source, [latents], size)
        return as_jpeg(Image.fromarray(to_frame(image)))

    def _source(self, path: Path) -> Source:
        run = Run.load(path)
        key = (path, sum(p.stat().st_mtime_ns for p in path.glob("trajectory*.safetensors")))
        if key not in self._sources:
            self._sources[key] = open_source(run)
            while len(self._sources) > _KEPT:
                self._sources.popitem(last=False)
        self._sources.move_to_end(key)
        return self._sources[key]

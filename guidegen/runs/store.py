"""Run directories: `outputs/<slug>-<seed>-<digest8>/`, one per picture. Torch-free.

Everything final is written as `guidegen.utils.files` does, so that a file is absent or complete.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

from guidegen.config import RunConfig
from guidegen.errors import InputImageError
from guidegen.runs.intact import set_aside
from guidegen.runs.names import slug
from guidegen.runs.output import check_writable, is_picture, picture_path, runs_folder
from guidegen.runs.run import (
    IMAGE,
    JUDGED,
    MANIFEST,
    MEANT,
    MINUTES,
    UNTIL_LOSS,
    VIDEO,
    Run,
    run_folder,
)
from guidegen.utils.files import make_folder

__all__ = [
    "IMAGE", "JUDGED", "MANIFEST", "MEANT", "MINUTES", "UNTIL_LOSS", "VIDEO", "Run", "RunStore",
    "check_writable", "is_picture", "picture_path", "run_folder", "slug",
]  # fmt: skip

log = logging.getLogger(__name__)


class RunStore:
    """The run directories of one outputs folder.

    Args:
        out: the folder, or a `.png` path: then the runs lie in `outputs` next to that file.
    """

    def __init__(self, out: Path) -> None:
        self.root = runs_folder(out)

    def create(
        self,
        config: RunConfig,
        digest: str,
        *,
        models: Mapping[str, str] | None = None,
        device: str = "",
        precision: Mapping[str, str] | None = None,
        timings: Mapping[str, Mapping[str, float]] | None = None,
        resumed_at: int | None = None,
    ) -> Run:
        """Note in the directory of a run that it is running; the caller holds its lock.

        An earlier run of the same digest is replaced; its picture stays until the new one is done.

        Args:
            config: the resolved settings.
            digest: over everything that changes the pixels.
            models: name -> digest of the weights.
            device: where it runs, in words.
            precision: as `Run` keeps it.
            timings: as `Run` keeps them.
            resumed_at: the step at which an earlier run goes on; None begins anew.

        Raises:
            OutputError: the directory can't be written.
        """
        run = Run(self.make_place(config, digest), config, digest, dict(models or {}), device)
        run.precision = dict(precision or {})
        run.timings = {name: dict(times) for name, times in (timings or {}).items()}
        with suppress(InputImageError):
            earlier = Run.load(run.path)
            if resumed_at is not None:
                run.started = earlier.started
                run.resumed_at = [*earlier.resumed_at, resumed_at]
            if earlier.status == "finished" and not earlier.intact(IMAGE):
                set_aside(earlier.image)
        for orphan in run.path.glob(".*.tmp"):  # of a process that was killed within a write
            with suppress(OSError):
                orphan.unlink()
        run.save()
        return run

    def make_place(self, config: RunConfig, digest: str) -> Path:
        """Make the directory of a run, if it is not there.

        Raises:
            OutputError: it can't be made.
        """
        return make_folder(self.place(config, digest))

    def find(self, config: RunConfig, digest: str) -> Run | None:
        """The finished run of this digest, if its picture is still there, and still that picture.

        It must serve the call (`Run.serves`), and have a video where one is wanted.
        """
        path = self.place(config, digest)
        with suppress(InputImageError):
            run = Run.load(path)
            if not run.serves(config):
                return None
            for name in (IMAGE, VIDEO) if config.video else (IMAGE,):
                if not run.intact(name):
                    if (path / name).exists():
                        log.warning("%s is not what the run left; it is made again", path / name)
                    return None
            return run
        return None

    def place(self, config: RunConfig, digest: str) -> Path:
        """The directory of a run, whether it is there or not."""
        return next(p for p in self._places(config, digest) if _is_free(p, digest))

    def _places(self, config: RunConfig, digest: str) -> Iterator[Path]:
        """The directory of a run, then others, should eight digits of the digest collide."""
        name = f"{slug(config.title)}-{config.seed}-{digest[:8]}"
        yield self.root / name
        yield from (self.root / f"{name}-{number}" for number in count(2))


def _is_free(path: Path, digest: str) -> bool:
    """Whether a run of this digest may use the directory: it is empty, absent, or its own."""
    with suppress(InputImageError):
        return Run.load(path).digest == digest
    if not path.is_dir():
        return not path.exists()
    # a lock or a half-written file of a killed process is nobody's
    return all(entry.name.startswith(".") for entry in path.iterdir())

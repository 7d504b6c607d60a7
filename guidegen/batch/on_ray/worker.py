"""What lives in a Ray worker: it draws tasks and tells what became of them."""

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from guidegen.batch.on_ray.resources import settle
from guidegen.batch.tasks import Outcome, Task, draw
from guidegen.errors import OutputError
from guidegen.interfaces import Step
from guidegen.utils.locks import LOCK
from guidegen.utils.stop import Stop

# The driver puts it into the batch folder: workers take no other call while they draw.
STOP_FILE = ".stop"
INTERRUPTED = "interrupted"
# Seconds between two looks at it.
_STOP_TICK = 1.0


class Worker:
    """Lives in a process of its own, maybe on another machine; becomes a Ray actor."""

    def __init__(self, threads: int | None, folder: str, environment: Mapping[str, str]) -> None:
        settle(threads, folder, environment)
        self.name = f"{socket.gethostname()}/{os.getpid()}"

    def ready(self) -> str:
        """Where it is."""
        return self.name

    def draw(self, task: Task) -> tuple[list[Outcome], list[str], str]:
        """Draw a task.

        Returns:
            Outcomes, warnings, and what stopped it early: "" | INTERRUPTED | an OutputError.
        """
        folder = task.jobs[0].config.out
        if not (folder / LOCK).exists():  # the driver holds it
            return [], [], f"{self.name} does not see {folder}; it must be on shared storage"
        outcomes: list[Outcome] = []
        stop = Stop()
        watch = _StopFile(folder / STOP_FILE, stop)
        heard = WarningCollector()
        logger = logging.getLogger("guidegen")
        logger.addHandler(heard)
        try:
            for outcome in draw(task, stop, lambda _: [watch]):
                outcomes.append(replace(outcome, worker=self.name))
        except OutputError as error:
            return outcomes, heard.lines, str(error)
        finally:
            logger.removeHandler(heard)
        return outcomes, heard.lines, INTERRUPTED if stop else ""


class _StopFile:
    """Sets a `Stop` once the driver has put a file into the batch folder."""

    def __init__(self, path: Path, stop: Stop) -> None:
        self.path, self.stop = path, stop
        self._looked = time.monotonic()

    def __call__(self, step: Step) -> None:
        """Look for the file now and then."""
        if time.monotonic() - self._looked >= _STOP_TICK:
            self._looked = time.monotonic()
            if self.path.exists():
                self.stop.set("the driver stopped")


class WarningCollector(logging.Handler):
    """Keeps warnings, to be told by the driver."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a warning."""
        self.lines.append(record.getMessage())

"""What is to be drawn, in order, on the disk: `queue.json` outlives the server."""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from guidegen.errors import InputImageError
from guidegen.utils.files import write_atomic
from guidegen.utils.parse import parse_json, read_text

log = logging.getLogger(__name__)

Kind = Literal["pictures", "starts", "list", "grid"]
State = Literal["waiting", "running", "paused", "finished", "stopped", "failed"]
# Ended jobs that stay in sight.
_KEPT = 30
ENDED = frozenset({"finished", "stopped", "failed"})


class Job(BaseModel):
    """One thing to draw: pictures of a prompt, starts to choose from, a list or a grid.

    Attributes:
        id: tells it from others; letters and digits.
        kind: what it is.
        title: the prompt, or the name of the list.
        fields: RunConfig fields that the user named.
        seeds: of its pictures; of starts the one that they belong to.
        picks: numbers of the starts that each seed goes on from; empty for its own choice.
        state: what became of it.
        why: why it failed, one line.
        created: seconds since 1970.
        runs: names of its run directories so far, by the number of the picture.
        more: of a list its file and folder, of a grid its axes, of starts their losses.
        done: pictures that are finished, or starts that are drawn.
        total: of them in all.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    id: str
    kind: Kind = "pictures"
    title: str
    fields: dict[str, Any]
    seeds: list[int] = []
    picks: list[int] = []
    state: State = "waiting"
    why: str = ""
    created: float
    runs: dict[int, str] = {}
    more: dict[str, Any] = {}
    done: int = 0
    total: int = 1

    @classmethod
    def new(cls, kind: Kind, title: str, fields: dict[str, Any], **more: Any) -> "Job":
        """A job that waits."""
        name = secrets.token_hex(6)
        return cls(id=name, kind=kind, title=title, fields=fields, created=time.time(), **more)


_jobs = TypeAdapter(list[Job])


class Queue:
    """The jobs in their order. May be used from any thread; every change is written at once.

    Args:
        path: the file. A job that was running when the server died waits again.
        changed: called after every change.
    """

    def __init__(self, path: Path, changed: Callable[[], object] = lambda: None) -> None:
        self.path, self._changed = path, changed
        self._lock = threading.RLock()
        self._jobs = self._load()

    def jobs(self) -> list[Job]:
        """Copies of all, the first to be drawn first."""
        with self._lock:
            return [job.model_copy(deep=True) for job in self._jobs]

    def get(self, name: str) -> Job:
        """A copy of one.

        Raises:
            InputImageError: there is none.
        """
        with self._lock:
            return self._find(name).model_copy(deep=True)

    def add(self, job: Job) -> None:
        """Put a job at the end."""
        with self._lock:
            self._jobs.append(job)
            ended = [one for one in self._jobs if one.state in ENDED]
            for old in ended[: max(0, len(ended) - _KEPT)]:
                self._jobs.remove(old)
            self._save()
        self._changed()

    def change(self, name: str, **values: Any) -> Job:
        """Set attributes of a job.

        Raises:
            InputImageError: there is none.
        """
        with self._lock:
            job = self._find(name)
            for key, value in values.items():
                setattr(job, key, value)
            self._save()
            copy = job.model_copy(deep=True)
        self._changed()
        return copy

    def move(self, name: str, place: int) -> None:
        """Put a job at another place among those that wait, from 0.

        Raises:
            InputImageError: there is none.
        """
        with self._lock:
            job = self._find(name)
            self._jobs.remove(job)
            waiting = [other for other in self._jobs if other.state == "waiting"]
            if place < len(waiting):
                self._jobs.insert(self._jobs.index(waiting[max(0, place)]), job)
            else:
                self._jobs.append(job)
            self._save()
        self._changed()

    def forget(self, name: str) -> None:
        """Take a job that ended out of the list; its runs stay.

        Raises:
            InputImageError: there is none.
        """
        with self._lock:
            self._jobs.remove(self._find(name))
            self._save()
        self._changed()

    def _find(self, name: str) -> Job:
        for job in self._jobs:
            if job.id == name:
                return job
        raise InputImageError(f"there is no job {name!r} in the queue")

    def _load(self) -> list[Job]:
        try:
            jobs = _jobs.validate_python(parse_json(read_text(self.path)))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            aside = self.path.with_suffix(".broken.json")
            log.warning("can't read the queue in %s (%s); it begins anew", self.path, error)
            with suppress(OSError):
                self.path.replace(aside)
            return []
        for job in jobs:
            if job.state == "running":
                job.state = "waiting"
        return jobs

    def _save(self) -> None:
        data = [job.model_dump(mode="json") for job in self._jobs]
        text = json.dumps(data, ensure_ascii=False, indent=1)
        write_atomic(self.path, text.encode("utf-8", "backslashreplace"), durable=False)

"""What became of each job of a list: `results.jsonl`, and a `results.csv` at the end.

A line is appended and flushed to the disk for every job, so that a killed batch has told all that
it did; at the end the file is written anew, one line a job, in the order of the list.
"""

import csv
import errno
import io
import json
import os
import re
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from guidegen.batch.prompt_list import Job, PromptList
from guidegen.errors import OutputError
from guidegen.utils.failpoints import failpoint
from guidegen.utils.files import replacing
from guidegen.utils.parse import parse_json

RESULTS, TABLE = "results.jsonl", "results.csv"
FINISHED, FAILED = "finished", "failed"
_CODES = {FINISHED: 1, FAILED: 2}
# What makes a spreadsheet take a cell for a formula, in ASCII and as East Asian keyboards write it.
_FORMULA = re.compile(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


@dataclass(frozen=True)
class Result:
    """One job's outcome, as a line of `results.jsonl`.

    Attributes:
        job: number of the job in the list, from 0.
        line: where it stands in the list, from 1.
        id: the line's own name; "" without one.
        prompt, negative, seed: what was drawn.
        status: "finished" or "failed".
        error: why it failed, one line.
        run: run directory inside the batch folder; "" where there is none.
        image, video, thumbnail: files inside the batch folder; "" where there are none.
        scores: name -> figure.
        seconds: how long the picture took, with those beside it in its batch.
        worker: where it was made (Ray only).
        key: 64 bits over everything that decides the picture, in hex.
        reused: a finished run was found (not written down).
    """

    job: int
    line: int
    id: str
    prompt: str
    negative: tuple[str, ...]
    seed: int
    status: str
    error: str = ""
    run: str = ""
    image: str = ""
    video: str = ""
    thumbnail: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    worker: str = ""
    key: str = ""
    reused: bool = False

    @classmethod
    def of(cls, job: Job, **more: Any) -> "Result":
        """The result of a job, with whatever else is known."""
        config = job.config
        return cls(
            job.number, job.line, job.id, config.prompt, config.negative, config.seed,
            **{"key": f"{job.key:016x}", **more},
        )  # fmt: skip

    @property
    def similarity(self) -> float | None:
        """Mean of what each CLIP finds; None for a failed job."""
        found = [value for name, value in self.scores.items() if name.startswith("similarity")]
        return sum(found) / len(found) if found else None

    def to_json(self) -> str:
        """One line."""
        values = {name: value for name, value in asdict(self).items() if name != "reused"}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: bytes) -> "Result | None":
        """The result in a line; None if it is damaged."""
        known = {item.name for item in fields(cls)}
        try:
            values = parse_json(line)
            found = cls(**{name: value for name, value in values.items() if name in known})
            int(found.key, 16)
            found = replace(found, negative=tuple(found.negative))
        except (ValueError, TypeError, AttributeError):
            return None
        return found if found.status in _CODES else None


class ResultLog:
    """The results of one list in its folder.

    In memory a job takes nine bytes.

    Args:
        folder: the batch folder.
        jobs: the list, checked.

    Raises:
        OutputError: the file can't be read or written.
    """

    def __init__(self, folder: Path, jobs: PromptList) -> None:
        self.path = folder / RESULTS
        self._places = array("q", bytes(8 * jobs.total))
        self._codes = bytearray(jobs.total)
        try:
            self._file = self.path.open("a+b", buffering=0)
            self._end = self._read(jobs)
        except OSError as error:
            raise self._unwritable(error) from error

    def _read(self, jobs: PromptList) -> int:
        """Take over what an earlier run told; returns where the next line goes."""
        end = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):  # the process was killed within it
                    break
                result = Result.from_json(line)
                number = jobs.number_of(int(result.key, 16)) if result else None
                if result and number is not None:
                    self._note(number, end, result.status)
                end += len(line)
        self._file.truncate(end)
        return end

    def _note(self, number: int, place: int, status: str) -> None:
        self._places[number], self._codes[number] = place, _CODES[status]

    def add(self, result: Result) -> None:
        """Append one result; it is on the disk when this returns.

        Raises:
            OutputError: it can't be written; what was written before stays.
        """
        line = (result.to_json() + "\n").encode()
        try:
            failpoint("append", RESULTS)
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise self._unwritable(error) from error
        self._note(result.job, self._end, result.status)
        self._end += len(line)

    def status(self, number: int) -> str:
        """Whether a job is "finished" or "failed"; "" where nothing is known of it."""
        return {1: FINISHED, 2: FAILED}.get(self._codes[number], "")

    def counted(self, status: str) -> int:
        """How many jobs have this status."""
        return self._codes.count(_CODES[status])

    def read(self, number: int) -> Result | None:
        """What is known of a job."""
        if not self._codes[number]:
            return None
        with self.path.open("rb") as file:
            file.seek(self._places[number])
            found = Result.from_json(file.readline())
        # the place in the list is that of today: lines may have been put in before it
        return found and replace(found, job=number)

    def results(self, start: int = 0, stop: int | None = None) -> Iterator[Result]:
        """All that is known, in the order of the list."""
        for number in range(start, len(self._codes) if stop is None else stop):
            found = self.read(number)
            if found is not None:
                yield found

    def rewrite(self) -> None:
        """Write the table, and the file anew in the order of the list; nothing can follow this.

        Raises:
            OutputError: it can't be written; the old one stays.
        """
        names = list(dict.fromkeys(name for found in self.results() for name in found.scores))
        try:
            with replacing(self.path.with_name(TABLE)) as temporary, temporary.open("wb") as file:
                self._table(file, names)
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                for result in self.results():
                    file.write((result.to_json() + "\n").encode())
        except OutputError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _table(self, file: io.BufferedWriter, names: list[str]) -> None:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        plain = ["job", "line", "id", "prompt", "negative", "seed", "status", "error"]
        rest = ["seconds", "run", "image", "video"]
        rows = csv.writer(text)
        rows.writerow([*plain, *map(_harmless, names), *rest])
        for result in self.results():
            values = {**asdict(result), "negative": " | ".join(result.negative), **result.scores}
            rows.writerow([_harmless(values.get(name, "")) for name in [*plain, *names, *rest]])
        text.flush()
        text.detach()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"can't write {self.path}: {error.strerror or error}")


def _harmless(cell: object) -> object:
    """A text that a spreadsheet would run gets an apostrophe in front, which it doesn't show.

    Source: OWASP, "CSV Injection". `results.jsonl` has the text as it was.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell

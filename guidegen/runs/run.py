"""One run directory and what its `run.json` says. Torch-free."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from guidegen.config import RunConfig, make_config
from guidegen.errors import InputImageError, OutputError
from guidegen.runs.intact import is_intact, sha256_of
from guidegen.runs.metadata import command
from guidegen.utils.files import write_atomic
from guidegen.utils.parse import parse_json, read_text
from guidegen.utils.versions import versions

MANIFEST = "run.json"
IMAGE = "image.png"
VIDEO = "progress.mp4"
# Why a run ended before its last step, in `Run.ended`; any other text is a recorder's own.
MINUTES, UNTIL_LOSS, JUDGED = "minutes", "until-loss", "judged"
# Ends that a run was to have; after any other it can go on.
MEANT = frozenset(["", UNTIL_LOSS, JUDGED])

_FORMAT = 1


def run_folder(path: Path) -> Path:
    """The run directory that a user means by its own path, or by that of a file in it.

    Raises:
        InputImageError: there is none; the message names what was asked for.
    """
    if not path.exists():
        raise InputImageError(
            f"there is no run at {path}; name a folder in outputs/, like outputs/a-red-apple-0-..."
        )
    folder = path if path.is_dir() else path.parent
    if not (folder / MANIFEST).is_file():
        where = f"is no run directory: it has no {MANIFEST}" if path.is_dir() else "lies in no run"
        raise InputImageError(f"{path} {where}; name a folder in outputs/")
    return folder


def walk_runs(root: Path, enter: Callable[[str], bool]) -> Iterator[tuple[Path, list[str]]]:
    """Each run anywhere in a folder: its directory, and the names of the files in it.

    Args:
        root: the folder.
        enter: whether to look into a folder of this name. A run holds no other.
    """
    for where, folders, files in os.walk(root):
        if MANIFEST in files:
            folders.clear()
            yield Path(where), files
        folders[:] = sorted(name for name in folders if enter(name))


@dataclass
class Run:
    """One run directory and what its `run.json` says.

    Attributes:
        path: the directory.
        config: the resolved settings.
        digest: SHA-256 over everything that changes the pixels.
        models: name -> digest of the weights in use; versions: package -> version.
        device: where it ran, in words.
        scores: name -> figure of the finished picture.
        precision: name of each network -> what it computes in; a run that goes on keeps it.
        timings: name of a network -> milliseconds of each choice, where that was measured.
        status: "running", "finished", "interrupted" or "failed: <why>".
        started: when, ISO 8601 in UTC; `finished`: when it stopped, for whatever reason.
        seconds: how long it took.
        resumed_at: the steps at which it went on after it was stopped or killed.
        notes: what one should know of it, like a smaller micro-batch.
        files: name -> SHA-256 of what a finished run left, so that damage is noticed.
        ended: why it ended before its last step: "minutes", "until-loss", or what asked for it;
            "" where it did not.
        last_step: the step whose picture it is.
    """

    path: Path
    config: RunConfig
    digest: str
    models: dict[str, str] = field(default_factory=dict)
    device: str = ""
    versions: dict[str, str] = field(default_factory=lambda: dict(versions()))
    scores: dict[str, float] = field(default_factory=dict)
    precision: dict[str, str] = field(default_factory=dict)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
    status: str = "running"
    started: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds")
    )
    finished: str | None = None
    seconds: float | None = None
    resumed_at: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    ended: str = ""
    last_step: int | None = None

    @property
    def image(self) -> Path:
        """Where the picture lies once there is one."""
        return self.path / IMAGE

    def serves(self, config: RunConfig) -> bool:
        """Whether a call with this config, whose digest is the same, needs no other picture.

        A picture with metadata does not serve a call that wants none, nor the other way round. One
        that ended before its last step serves only where that was to be: at `until_loss` or by its
        judge, which every call of this digest has, or after minutes of which the call has no more
        to give. Any other can go on.
        """
        if self.status != "finished" or self.config.metadata != config.metadata:
            return False
        if self.ended == MINUTES:
            return config.minutes is not None and config.minutes <= (self.config.minutes or 0)
        return self.ended in MEANT

    def write(self, name: str, data: bytes) -> Path:
        """Write one file of the run as `write_atomic` does."""
        return write_atomic(self.path / name, data)

    def finish(
        self,
        scores: Mapping[str, float],
        *,
        status: str = "finished",
        ended: str = "",
        last_step: int | None = None,
    ) -> None:
        """Note how the run ended; write the picture first, so that "finished" is never a lie."""
        stopped = datetime.now(UTC)
        self.scores = {name: float(value) for name, value in scores.items()}
        self.status, self.ended, self.last_step = status, ended, last_step
        self.finished = stopped.isoformat(timespec="milliseconds")
        self.seconds = round((stopped - datetime.fromisoformat(self.started)).total_seconds(), 3)
        found = {name: sha256_of(self.path / name) for name in (IMAGE, VIDEO)}
        self.files = {name: sha256 for name, sha256 in found.items() if sha256}
        self.save()

    def fail(self, error: BaseException) -> None:
        """Note why the run failed, in one line."""
        why = " ".join(str(error).split()) or type(error).__name__
        # If the disk is what failed, this fails too; the first error is the one to report.
        with suppress(OutputError):
            self.finish(self.scores, status=f"failed: {why}")

    def to_dict(self) -> dict[str, Any]:
        """What `run.json` holds."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        del values["path"]
        values["config"] = self.config.model_dump(mode="json")
        return {"format": _FORMAT, **values, "command": command(self.config)}

    def save(self) -> None:
        """Write `run.json` as `write_atomic` does."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=2)
        # Bytes of a path that are not UTF-8 become JSON escapes.
        self.write(MANIFEST, (text + "\n").encode(errors="backslashreplace"))

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Read a run directory, or its `run.json`.

        Raises:
            InputImageError: there is no run there, or its file is broken.
        """
        folder = path.parent if path.name == MANIFEST else path
        try:
            data = parse_json(read_text(folder / MANIFEST))
            if data["format"] > _FORMAT:
                raise InputImageError(f"{folder} was made by a newer guidegen; install that")
            known = {item.name for item in fields(cls)} & set(data)
            values = {name: data[name] for name in known}
            values |= {"path": folder, "config": make_config(data["config"])}
            run = _validator().validate_python(values)
            if datetime.fromisoformat(run.started).tzinfo is None:
                raise ValueError("started has no time zone")
            if not all(math.isfinite(value) for value in run.scores.values()):
                raise ValueError("a score is no number")
            return run
        except FileNotFoundError:
            raise InputImageError(f"{folder} is no run directory: it has no {MANIFEST}") from None
        except InputImageError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # make_config's ConfigError is a ValueError: a newer guidegen may know more settings.
            why = " ".join(str(error).split())[:300]
            raise InputImageError(f"can't read {folder / MANIFEST}: {why}") from None

    def intact(self, name: str) -> bool:
        """Whether a file of the finished run is still what the run left."""
        return is_intact(self.path / name, self.files.get(name, ""))


@cache
def _validator() -> TypeAdapter[Run]:
    return TypeAdapter(Run)

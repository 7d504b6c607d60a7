"""Run directories: `outputs/<slug>-<seed>-<digest8>/`, one per picture. Torch-free.

Everything final is written as `guidegen.utils.files` does, so that a file is absent or complete.
"""

import json
import logging
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from pydantic import TypeAdapter

from guidegen.config import RunConfig, make_config
from guidegen.errors import InputImageError, OutputError
from guidegen.runs import exif
from guidegen.runs.intact import is_intact, set_aside, sha256_of
from guidegen.runs.metadata import command, read
from guidegen.utils.files import write_atomic
from guidegen.utils.parse import parse_json, read_text
from guidegen.utils.versions import versions

MANIFEST = "run.json"
IMAGE = "image.png"
VIDEO = "progress.mp4"
# Why a run ended before its last step, in `Run.ended`; any other text is a recorder's own.
MINUTES, UNTIL_LOSS = "minutes", "until-loss"
SLUG_LENGTH = 48

log = logging.getLogger(__name__)

_FORMAT = 1
# Names that Windows gives to devices, whatever the extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")
_IMAGES = frozenset({".png", *exif.FORMATS})
_OTHER_IMAGES = frozenset({".avif", ".gif", ".bmp", ".tif", ".tiff"})


def slug(text: str) -> str:
    """A readable folder name for a prompt: lower-case letters, digits and single hyphens.

    Latin letters lose their accents, other scripts keep theirs, an emoji becomes its name. Never
    empty, never a path, never a reserved name, at most 144 bytes.
    """
    plain = "".join(map(_plain, unicodedata.normalize("NFKC", text.casefold())))
    name = re.sub(r"[\W_]+", "-", plain).strip("-")
    if len(name) > SLUG_LENGTH:
        whole_words = name[: SLUG_LENGTH + 1].rpartition("-")[0]
        name = (whole_words or name)[:SLUG_LENGTH].strip("-")
    while len(name.encode()) > 3 * SLUG_LENGTH:  # a file system counts bytes
        name = name[:-1]
    if not name or _RESERVED.fullmatch(name):
        name = f"prompt-{name}".strip("-")
    return name


def _plain(char: str) -> str:
    """A character as a folder's name holds it."""
    if unicodedata.category(char) == "So":
        return f" {unicodedata.name(char, '').lower()} "
    if unicodedata.category(char).startswith("M"):
        return ""  # \w counts no marks, and names are readable without them
    base = unicodedata.normalize("NFKD", char)[0]
    return base if base.isascii() else char


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
        that ended before its last step serves only where that was to be: at `until_loss`, which
        every call of this digest has, or after minutes of which the call has no more to give. Any
        other can go on.
        """
        if self.status != "finished" or self.config.metadata != config.metadata:
            return False
        if self.ended == MINUTES:
            return config.minutes is not None and config.minutes <= (self.config.minutes or 0)
        return self.ended in ("", UNTIL_LOSS)

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


class RunStore:
    """The run directories of one outputs folder.

    Args:
        out: the folder, or a `.png` path: then the runs lie in `outputs` next to that file.
    """

    def __init__(self, out: Path) -> None:
        self.root = out.parent / "outputs" if is_picture(out) else out

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
        path = self.place(config, digest)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"can't make the folder {path}: {error.strerror or error}") from error
        return path

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
        name = f"{slug(config.prompt)}-{config.seed}-{digest[:8]}"
        yield self.root / name
        yield from (self.root / f"{name}-{number}" for number in count(2))


def is_picture(out: Path) -> bool:
    """Whether `out` names a picture rather than a folder."""
    return out.suffix.lower() in _IMAGES and not out.is_dir()


def check_writable(out: Path) -> None:
    """Refuse an output place before any work starts.

    Raises:
        OutputError: pictures can't be written there, and why.
    """
    if out.suffix.lower() in _OTHER_IMAGES and not out.is_dir():
        raise OutputError(
            f"pictures are PNG, JPEG or WebP files; write --out {out.with_suffix('.png')}"
        )
    folders = {RunStore(out).root, out.parent} if is_picture(out) else {out}
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder) as probe:
                probe.write(b"guidegen")
        except FileExistsError:
            raise OutputError(f"{folder} is a file, not a folder; choose another --out") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise OutputError(f"can't write to {folder}: {why}; choose another --out") from None


def picture_path(
    out: Path,
    config: RunConfig,
    *,
    index: int = 0,
    total: int = 1,
    data: bytes = b"",
    force: bool = False,
) -> Path | None:
    """Where a copy of a picture goes when the user named a file.

    Args:
        out: the user's `--out`.
        config: of the picture, resolved.
        index: which of the pictures of this call, from 0.
        total: how many there are; several are numbered `x-1.png`, `x-2.png`.
        data: what will be written; tells pictures without metadata.
        force: replace whatever lies there.

    Returns:
        The path, or None where `out` is a folder. Only a picture of the same settings is replaced;
        beside any other file the next free number is taken.
    """
    if not is_picture(out):
        return None
    if total > 1:
        out = out.with_stem(f"{out.stem}-{index + 1}")
    path, number = out, 1
    while path.exists() and not force and not _is_same(path, config, data):
        number += 1
        path = out.with_stem(f"{out.stem}-{number}")
    return path


def _is_same(path: Path, config: RunConfig, data: bytes) -> bool:
    """Whether a file is a picture that these settings made."""
    with suppress(InputImageError):
        return read(path).config.digest() == config.digest()
    with suppress(OSError):
        return path.stat().st_size == len(data) and path.read_bytes() == data
    return False


def _is_free(path: Path, digest: str) -> bool:
    """Whether a run of this digest may use the directory: it is empty, absent, or its own."""
    with suppress(InputImageError):
        return Run.load(path).digest == digest
    if not path.is_dir():
        return not path.exists()
    # a lock or a half-written file of a killed process is nobody's
    return all(entry.name.startswith(".") for entry in path.iterdir())

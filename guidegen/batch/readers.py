"""Reads prompt lists line by line: .txt, .csv, .jsonl; and .toml as a whole. Torch-free.

A reader yields what it can read and notes what it can't with the line's number, so that all
problems of a file are told at once.
"""

import csv
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from guidegen.config.make import nearest_setting, unknown_setting
from guidegen.errors import ConfigError

SUFFIXES = (".txt", ".csv", ".jsonl", ".toml")
# A prompt of CLIP has some 300 characters at most; a longer line is another file, not a prompt.
MAX_LINE = 1 << 20
_MAX_TOML = 64 << 20
_SHOWN = 50
_BOM = b"\xef\xbb\xbf"
_TABLE = re.compile(r"^\s*\[\[\s*job\s*\]\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list, or one `[[job]]`.

    Attributes:
        line: its number from 1, where it begins.
        fields: name -> value, as the file gives them.
    """

    line: int
    fields: dict[str, Any]


@dataclass
class Problems:
    """What is wrong in a file: the first 50 with their lines, and how many there are."""

    shown: list[tuple[int, str]] = field(default_factory=list)
    total: int = 0

    def add(self, line: int, text: str) -> None:
        """Note one problem."""
        self.total += 1
        if len(self.shown) < _SHOWN:
            self.shown.append((line, " ".join(text.split())))


@dataclass(frozen=True)
class ListFile:
    """A prompt list on the disk.

    Attributes:
        path: the file.
        defaults: settings for all lines (.toml only).
        variables: name -> values (.toml only).
    """

    path: Path
    defaults: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    jobs: tuple[Entry, ...] = ()

    def entries(self, problems: Problems, columns: frozenset[str]) -> Iterator[Entry]:
        """Every line that can be read, in order.

        Args:
            problems: takes those that can't.
            columns: all names that a line may give.

        Raises:
            ConfigError: the file can't be read, or has no header that fits.
        """
        read = {".txt": _text, ".csv": _csv, ".jsonl": _jsonl}.get(self.path.suffix.lower())
        try:
            if read is None:
                found: Iterable[Entry] = self.jobs
            else:
                found = read(self.path, problems, columns)
            for entry in found:
                unknown = [name for name in entry.fields if name not in columns]
                if unknown:
                    problems.add(entry.line, refuse(unknown[0]))
                else:
                    yield entry
        except OSError as error:
            raise ConfigError(
                f"can't read the prompt list {self.path}: {error.strerror or error}"
            ) from None


def open_list(path: Path) -> ListFile:
    """Look at a prompt list; only a .toml is read already.

    Raises:
        ConfigError: there is no such file, or it is none of the four formats.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{path} is no prompt list; its name ends with {', '.join(SUFFIXES[:-1])} or .toml"
        )
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file" if path.exists() else "not there"
        raise ConfigError(f"the prompt list {path} is {what}")
    return _toml(path) if path.suffix.lower() == ".toml" else ListFile(path)


def refuse(name: str) -> str:
    """Why a line can't give a setting of this name."""
    if name == "out":
        return "'out' can't be set here; it is one folder for the whole list"
    return f"{unknown_setting(name, 'id')} A line takes prompt, id and settings"


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, str | None]]:
    """Number and text of every line, without its end; None where it can't be read."""
    with path.open("rb") as file:
        for number in count(1):
            raw = file.readline(MAX_LINE + 1)
            if not raw:
                return
            if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
                while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                problems.add(number, f"longer than {MAX_LINE >> 20} MiB; that is no prompt")
                yield number, None
                continue
            if number == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    problems.add(1, "the file is UTF-16; save it as UTF-8")
                    return
                raw = raw.removeprefix(_BOM)
            yield number, _decoded(raw, number, problems)


def _decoded(raw: bytes, number: int, problems: Problems) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.add(
            number,
            f"byte 0x{raw[error.start]:02X} at position {error.start + 1} is not UTF-8; "
            "save the file as UTF-8",
        )
        return None
    text = text.removesuffix("\n").removesuffix("\r")
    if "\0" in text:
        problems.add(number, "holds a NUL character")
        return None
    if "\r" in text:
        problems.add(number, "holds a carriage return; end lines with LF or CRLF")
        return None
    return text


def _text(path: Path, problems: Problems, columns: frozenset[str]) -> Iterator[Entry]:
    for number, text in _lines(path, problems):
        text = (text or "").strip()
        if text and not text.startswith("#"):
            # a backslash keeps a prompt that begins with # from being a comment
            yield Entry(number, {"prompt": text[1:] if text.startswith("\\#") else text})


def _jsonl(path: Path, problems: Problems, columns: frozenset[str]) -> Iterator[Entry]:
    for number, text in _lines(path, problems):
        if not text or not text.strip():
            continue
        try:
            value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            problems.add(number, f"no JSON: {error.msg} at position {error.pos + 1}")
        except (ValueError, RecursionError) as error:
            problems.add(number, f"no usable JSON: {error}")
        else:
            if isinstance(value, dict):
                yield Entry(number, value)
            else:
                problems.add(number, 'not an object; write {"prompt": "..."}')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in it")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _csv(path: Path, problems: Problems, columns: frozenset[str]) -> Iterator[Entry]:
    bad: set[int] = set()

    def texts() -> Iterator[str]:
        for number, text in _lines(path, problems):
            if text is None:
                bad.add(number)
            yield (text or "") + "\n"

    reader = csv.reader(texts(), strict=True)
    header: list[str] | None = None
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not bad.intersection(range(first, reader.line_num + 1)):
                problems.add(first, f"no CSV: {error}")
            continue
        span = range(first, reader.line_num + 1)
        if bad.intersection(span):
            bad.difference_update(span)
            if header is None:
                return
        elif not any(cell.strip() for cell in row):
            continue
        elif header is None:
            header = _header([cell.strip() for cell in row], first, problems, columns)
        elif len(row) > len(header):
            problems.add(
                first,
                f"{len(row)} cells, but {len(header)} columns; put a text with commas in quotes",
            )
        else:
            given = zip(header, row, strict=False)
            fields = {name: cell for name, cell in given if name and cell.strip()}
            if "prompt" not in header:  # it is told already; the other columns still have problems
                fields["prompt"] = "a prompt"
            yield Entry(first, fields)


def _header(cells: list[str], line: int, problems: Problems, columns: frozenset[str]) -> list[str]:
    """The columns' names, so that rows can be checked although some are wrong.

    A misspelt name stands for the nearest one, any other wrong one becomes "".
    """
    found = []
    for name in cells:
        if name in columns:
            found.append(name)
            continue
        hint = "; separate columns by commas" if re.search(r"[;\t]", name) else ""
        problems.add(line, refuse(name) + hint)
        near = nearest_setting(name, "id")
        found.append(near if near in columns and near not in cells else "")
    if "prompt" not in found:
        problems.add(line, "the header has no column 'prompt'")
    if len(set(cells)) < len(cells):
        problems.add(line, "the header names a column twice")
    return found


def _toml(path: Path) -> ListFile:
    try:
        if path.stat().st_size > _MAX_TOML:
            raise ConfigError(f"{path} is longer than 64 MiB; write such a list as .jsonl")
        data = path.read_bytes().removeprefix(_BOM)
        text = data.decode("utf-8").replace("\r\n", "\n")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"can't read the prompt list {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None
    jobs, variables = values.pop("job", []), values.pop("variables", {})
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs) or not jobs:
        raise ConfigError(f"{path} has no [[job]]; each picture is one, with a prompt in it")
    if not isinstance(variables, dict) or not all(isinstance(v, list) for v in variables.values()):
        raise ConfigError(f'{path}: write variables as [variables] and colour = ["red", "blue"]')
    # tomllib tells no line numbers: find the headers again
    lines = [text.count("\n", 0, match.end()) + 1 for match in _TABLE.finditer(text)]
    if len(lines) != len(jobs):
        lines = [1] * len(jobs)
    entries = tuple(Entry(line, job) for line, job in zip(lines, jobs, strict=True))
    return ListFile(path, values, variables, entries)

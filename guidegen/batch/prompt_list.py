"""A prompt list as jobs: every line checked first, then read again piece by piece. Torch-free.

A list of a million lines is never held in memory: what stays of a job is a key of eight bytes.
"""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guidegen.batch.readers import Entry, ListFile, Problems, open_list, refuse
from guidegen.batch.variables import Variables, check_variables, count, expand
from guidegen.config import DRAW, MAX_SEED, RunConfig, make_config
from guidegen.errors import ConfigError, GuidegenError

# All that a line can give.
COLUMNS = frozenset({*RunConfig.model_fields, "id"} - {"out"})
MAX_JOBS = 10_000_000
# Lines that differ only in these are checked alike by what checks settings.
_FREE = frozenset({"prompt", "negative", "seed", "id"})
_REMEMBERED = 10_000


class PromptListError(ConfigError):
    """A list with lines that can't be used.

    Attributes:
        path: the list.
        problems: (line, what is wrong) of the first 50, in the order of the file.
        total: how many there are.
    """

    exit_code = 10

    def __init__(self, path: Path, problems: Sequence[tuple[int, str]], total: int) -> None:
        self.path, self.problems, self.total = path, tuple(problems), total
        line, text = problems[0]
        more = f" (and {total - 1} more)" if total > 1 else ""
        super().__init__(f"{path}:{line}: {text}{more}; nothing was drawn")


@dataclass(frozen=True, slots=True)
class Job:
    """One picture of a list.

    Attributes:
        number: its place among all jobs, from 0.
        line: where it stands in the file, from 1.
        id: the line's own name; "" without one.
        config: its settings.
        key: 64 bits over everything that decides the picture.
    """

    number: int
    line: int
    id: str
    config: RunConfig
    key: int


class PromptList:
    """The jobs of a prompt list file.

    A line's own settings go before `settings`, which go before the list's defaults (.toml), which
    go before `below`.

    Args:
        path: .txt, .csv, .jsonl or .toml.
        settings: RunConfig fields for all lines; `out` is the folder of the whole list.
        below: RunConfig fields that the file's own defaults replace.
        variables: name -> values, beside those of the file.
        count: pictures of each prompt, with consecutive seeds.

    Raises:
        ConfigError: the file can't be read, or a setting for all lines is wrong.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        below: Mapping[str, Any] | None = None,
        variables: Variables | None = None,
        count: int = 1,
    ) -> None:
        if count < 1:
            raise ConfigError(f"draw at least 1 picture, not {count}", field="count")
        self.path, self.count = path, count
        self._stat = _stat(path)
        self._file: ListFile = open_list(path)
        for name in self._file.defaults:
            if name not in COLUMNS or name in ("prompt", "id"):
                raise ConfigError(f"{path}: {refuse(name)}")
        self.settings = {**(below or {}), **self._file.defaults, **(settings or {})}
        self.settings.pop("prompt", None)
        make_config({**self.settings, "prompt": "a prompt"})
        self.variables = {**self._file.variables, **(variables or {})}
        check_variables(self.variables)
        self.total = 0
        self.lines = 0
        self.repeats: frozenset[int] = frozenset()
        self._keys: Any = None
        self._order: Any = None

    def check(self, also: Callable[[RunConfig], object] | None = None) -> None:
        """Read the whole list and find everything that is wrong with it.

        Afterwards `total` is the number of jobs, `lines` that of the lines with a prompt, and
        `repeats` the numbers of jobs that an earlier one asks for already.

        Args:
            also: raises GuidegenError for settings that can't be used; called once for lines that
                differ in prompts and seeds only.

        Raises:
            PromptListError: with all problems, by line.
        """
        problems = Problems()
        keys, ids, places = array("Q"), array("Q"), array("L")
        settled: dict[tuple[Any, ...], str] = {}
        self.lines, before = 0, 0
        for job in self._jobs(problems, also and _once(also, settled)):
            keys.append(job.key)
            if job.line != before:
                self.lines, before = self.lines + 1, job.line
                if job.id:
                    ids.append(_hash(job.id.encode()))
                    places.append(job.line)
        for place, earlier in _doubles(ids):
            problems.add(places[place], f"the id of line {places[earlier]} again")
        if not problems.total and not keys:
            raise ConfigError(f"the prompt list {self.path} holds no prompt")
        if problems.total:
            raise PromptListError(self.path, sorted(problems.shown), problems.total)
        self.total = len(keys)
        self.repeats = frozenset(number for number, _ in _doubles(keys))
        self._index(keys)

    def jobs(self) -> Iterator[Job]:
        """The jobs in the order of the file, without those that repeat an earlier one.

        Raises:
            ConfigError: the file changed after it was checked.
        """
        problems = Problems()
        for job in self._jobs(problems, None):
            if problems.total:
                break
            if job.number not in self.repeats:
                yield job
        if problems.total or _stat(self.path) != self._stat:
            raise ConfigError(f"{self.path} changed while it was being drawn; start again")

    def number_of(self, key: int) -> int | None:
        """The number of the first job with this key."""
        import numpy as np

        place = int(np.searchsorted(self._keys, np.uint64(key)))
        if place == len(self._keys) or int(self._keys[place]) != key:
            return None
        return int(self._order[place])

    def _index(self, keys: "array[int]") -> None:
        import numpy as np

        values = np.frombuffer(keys, np.uint64)
        self._order = np.argsort(values, kind="stable")
        self._keys = values[self._order]

    def _jobs(
        self, problems: Problems, also: Callable[[Entry, RunConfig], str] | None
    ) -> Iterator[Job]:
        number = 0
        for entry in self._file.entries(problems, COLUMNS):
            first = number
            try:
                name = _id(entry)
                for config in self._configs(entry):
                    if number == first and also is not None and (wrong := also(entry, config)):
                        raise ConfigError(wrong)
                    if number >= MAX_JOBS:
                        raise ConfigError(f"more than {MAX_JOBS:,} pictures in one list; split it")
                    yield Job(number, entry.line, name, config, _key(config))
                    number += 1
            except GuidegenError as error:
                problems.add(entry.line, str(error))
                if number + 1 >= MAX_JOBS:
                    return

    def _configs(self, entry: Entry) -> Iterator[RunConfig]:
        """Each picture of a line; one after another, for a line can ask for millions."""
        fields = {name: value for name, value in entry.fields.items() if name != "id"}
        if "prompt" not in fields:
            raise ConfigError("there is no prompt")
        given = {**self.settings, **fields}
        if str(given.get("seed", "")).strip() == str(DRAW):
            raise ConfigError(
                "a list needs seeds that stay, or a second call would draw it all again",
                field="seed",
            )
        negative = given.get("negative", ())
        texts = [given["prompt"], *([negative] if isinstance(negative, str) else negative)]
        plain = not all(isinstance(text, str) for text in texts)
        pictures = 1 if plain else count(texts, self.variables) * self.count
        if pictures > MAX_JOBS:
            raise ConfigError(f"its variables make {pictures:,} pictures; {MAX_JOBS:,} at most")
        # what is no text is left to make_config, which says what is wrong
        filled = [tuple(texts)] if plain else expand(texts, self.variables)
        for prompt, *others in filled:
            config = make_config({**given, "prompt": prompt, "negative": tuple(others)})
            if config.seed + self.count - 1 > MAX_SEED:
                raise ConfigError(f"with {self.count} pictures each it is too high", field="seed")
            yield config
            for step in range(1, self.count):
                yield config.model_copy(update={"seed": config.seed + step})


def _once(
    also: Callable[[RunConfig], object], settled: dict[tuple[Any, ...], str]
) -> Callable[[Entry, RunConfig], str]:
    """Calls `also` once for all lines with the same settings; returns what is wrong, or ""."""

    def wrong(entry: Entry, config: RunConfig) -> str:
        own = sorted((name, str(v)) for name, v in entry.fields.items() if name not in _FREE)
        # a story has settings of its own kind: the number of its scenes
        key = (*own, config.prompt.count("^"))
        if key not in settled:
            if len(settled) >= _REMEMBERED:
                settled.clear()
            try:
                also(config)
                settled[key] = ""
            except GuidegenError as error:
                settled[key] = str(error)
        return settled[key]

    return wrong


def _id(entry: Entry) -> str:
    value = entry.fields.get("id", "")
    if not isinstance(value, str | int) or len(str(value)) > 200:
        raise ConfigError("a short text or a whole number", field="id")
    return str(value).strip()


def _key(config: RunConfig) -> int:
    return _hash(config.key())


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def _doubles(values: "array[int]") -> list[tuple[int, int]]:
    """(place, first place) of every value that was there before, in order."""
    import numpy as np

    if len(values) < 2:
        return []
    numbers = np.frombuffer(values, np.uint64)
    order = np.argsort(numbers, kind="stable")
    same = numbers[order][1:] == numbers[order][:-1]
    found, first = [], 0
    for place in np.flatnonzero(same):
        if place == 0 or not same[place - 1]:
            first = int(order[place])
        found.append((int(order[place + 1]), first))
    return sorted(found)


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns

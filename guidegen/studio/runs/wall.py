"""All runs of the output folder, thousands of them, without opening more than is asked for."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from guidegen.config import RunConfig
from guidegen.errors import InputImageError, OutputError
from guidegen.runs.store import IMAGE, MANIFEST
from guidegen.studio.places import TRASH, Places
from guidegen.utils.files import write_atomic
from guidegen.utils.parse import parse_json, read_text

Order = Literal["newest", "oldest", "score"]
MOST = 200
_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Card:
    """A run as the wall shows it.

    Attributes:
        name: its path in the output folder.
        prompt: what was drawn, in words: `RunConfig.title`.
        seed: of its random numbers.
        generator: that drew it.
        status: as `guidegen.runs.store.Run.status`.
        score: mean similarity to the prompt, of all CLIPs; None while there is none.
        picture: whether there is one.
        started: when, ISO 8601.
        version: changes when the run does.
    """

    name: str
    prompt: str
    seed: int
    generator: str
    status: str
    score: float | None
    picture: bool
    started: str
    version: int


@dataclass(frozen=True)
class Query:
    """What the wall is asked for.

    Attributes:
        words: all must be in the prompt, the generator, the seed or the name.
        generator: only of this one; "" for all.
        lowest: only with this similarity or more.
        starred: only with a star.
        folder: only runs in this folder of the output folder, those of a list.
        order: which comes first.
    """

    words: str = ""
    generator: str = ""
    lowest: float | None = None
    starred: bool = False
    folder: str = ""
    order: Order = "newest"

    @property
    def plain(self) -> bool:
        """Whether names and times answer it, so that no run has to be read."""
        return not (self.words or self.generator or self.lowest is not None) and (
            self.order != "score"
        )


class Wall:
    """The runs of the output folder.

    Args:
        places: the folder.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._lock = threading.Lock()
        self._cards: dict[tuple[str, int], Card | None] = {}
        self._path = places.own / "stars.json"
        self._stars = self._load_stars()

    def page(
        self,
        query: Query,
        *,
        first: int = 0,
        count: int = 60,
        similar: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Some of the runs that a query finds.

        Args:
            query: what is asked for.
            first: the first of them to tell, from 0.
            count: how many at most.
            similar: only the runs that are named here, the most similar first, whatever the
                query's order.
        """
        found = self._find(query)
        if similar is not None:
            found = [each for each in found if each[0] in similar]
            found.sort(key=lambda each: similar[each[0]], reverse=True)
        count = max(0, min(count, MOST))
        cards = [self._card(*each) for each in found[max(0, first) : max(0, first) + count]]
        runs = [self.row(card) for card in cards if card is not None]
        if similar is not None:
            runs = [{**run, "similarity": similar[run["name"]]} for run in runs]
        return {"total": len(found), "first": first, "runs": runs}

    def generators(self) -> list[str]:
        """Every generator that drew something here."""
        cards = (self._card(*each) for each in self._all())
        return sorted({card.generator for card in cards if card is not None})

    def row(self, card: Card) -> dict[str, Any]:
        """A run as the page gets it."""
        return {**card.__dict__, "star": card.name in self._stars}

    def card(self, name: str) -> Card:
        """One run.

        Raises:
            InputImageError: there is none, or it can't be read.
        """
        manifest = self.places.run(name) / MANIFEST
        card = self._card(name, manifest.stat().st_mtime_ns)
        if card is None:
            raise InputImageError(f"the {MANIFEST} of {name} can't be read")
        return card

    def star(self, name: str, *, on: bool) -> None:
        """Give a run a star, or take it away.

        Raises:
            InputImageError: there is no such run.
        """
        self.places.run(name)
        with self._lock:
            (self._stars.add if on else self._stars.discard)(name)
            write_atomic(self._path, json.dumps(sorted(self._stars), ensure_ascii=False).encode())

    def starred(self, name: str) -> bool:
        """Whether a run has a star."""
        return name in self._stars

    def discard(self, name: str) -> None:
        """Move a run to the trash folder; one of the same name there is replaced.

        Raises:
            InputImageError: there is no such run.
            OutputError: it can't be moved.
        """
        self._move(self.places.run(name), self.places.root / TRASH / name)

    def restore(self, name: str) -> None:
        """Move a run back from the trash folder.

        Raises:
            InputImageError: it is not there, or another took its place.
            OutputError: it can't be moved.
        """
        home = self.places.inside(name)
        away = self.places.root / TRASH / name
        if not (away / MANIFEST).is_file() or home.exists():
            raise InputImageError(f"{name!r} is not in the trash, or another took its place")
        self._move(away, home)

    def _move(self, source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            number = 1
            while target.exists():
                number += 1
                target = target.with_name(f"{target.name}-{number}")
            source.rename(target)
        except OSError as error:
            raise OutputError(f"can't move {source}: {error.strerror or error}") from error

    def _find(self, query: Query) -> list[tuple[str, int]]:
        found = sorted(self._all(query.folder), key=lambda each: each[::-1], reverse=True)
        if query.starred:
            found = [each for each in found if each[0] in self._stars]
        if query.order == "oldest":
            found.reverse()
        if query.plain:
            return found
        cards = [card for card in (self._card(*each) for each in found) if card is not None]
        cards = [card for card in cards if _fits(card, query)]
        if query.order == "score":
            cards.sort(key=lambda card: -2.0 if card.score is None else card.score, reverse=True)
        return [(card.name, card.version) for card in cards]

    def _all(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Name and time of every run, and of those that lie in the folders of lists."""
        if folder:
            with suppress(InputImageError):
                yield from _runs(self.places.inside(folder), f"{folder}/")
            return
        for name, version, path in _folders(self.places.root):
            if version:
                yield name, version
            else:
                yield from _runs(path, f"{name}/")

    def _card(self, name: str, version: int) -> Card | None:
        """A run, read once for each of its versions; None if it can't be read."""
        key = (name, version)
        if key not in self._cards:
            card = _read(self.places.root / name, name, version)
            with self._lock:
                self._cards[key] = card
        return self._cards[key]

    def _load_stars(self) -> set[str]:
        try:
            names = parse_json(read_text(self._path))
            return {name for name in names if isinstance(name, str)}
        except (OSError, ValueError, TypeError):
            return set()


def _folders(root: Path) -> Iterator[tuple[str, int, str]]:
    """Name, time of its manifest (0: it is no run) and path of each folder in a folder."""
    with suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            try:
                yield entry.name, os.stat(f"{entry.path}/{MANIFEST}").st_mtime_ns, entry.path
            except OSError:
                yield entry.name, 0, entry.path


def _runs(folder: Path | str, prefix: str) -> Iterator[tuple[str, int]]:
    for name, version, _ in _folders(Path(folder)):
        if version:
            yield f"{prefix}{name}", version


def _read(path: Path, name: str, version: int) -> Card | None:
    """What the wall shows of a `run.json`; nothing else of it is looked at."""
    try:
        data = parse_json(read_text(path / MANIFEST, limit=_MANIFEST_BYTES))
        config, scores = data["config"], data.get("scores", {})
        near = [v for k, v in scores.items() if k.startswith("similarity") and _is_number(v)]
        return Card(
            name=name,
            prompt=_title(config),
            seed=int(config.get("seed", 0)),
            generator=str(config.get("generator", "")),
            status=str(data.get("status", "")),
            score=sum(near) / len(near) if near else None,
            picture=(path / IMAGE).is_file(),
            started=str(data.get("started", "")),
            version=version,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _title(config: Mapping[str, Any]) -> str:
    """The prompt of stored settings, or what stands in its place; they are not checked anew."""
    references = {name: config.get(name, ()) for name in ("image_prompt", "noise_prompt")}
    return RunConfig.model_construct(prompt=str(config["prompt"]), **references).title


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(card: Card, query: Query) -> bool:
    text = f"{card.prompt} {card.generator} {card.seed} {card.name}".lower()
    if not all(word in text for word in query.words.lower().split()):
        return False
    if query.generator and card.generator != query.generator:
        return False
    return query.lowest is None or (card.score is not None and card.score >= query.lowest)

"""The kept features of a folder's pictures: one SQLite file, safe against crashes and company.

Vectors lie in half precision in chunks of 1024 rows, each chunk one value of a table; a picture
names its row. So a query reads chunk after chunk, in little memory and without an approximation,
and a change touches the rows that it is about. SQLite keeps what was committed whatever kills the
process, and lets several processes read and write. Torch does the arithmetic.
"""

import hashlib
import logging
import math
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from guidegen.errors import OutputError
from guidegen.utils.measured import cache_folder

log = logging.getLogger(__name__)

CHUNK = 1024
_FORMAT = "1"
# Seconds that a process waits for another one's write.
_PATIENCE = 60.0
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS pictures (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, row INTEGER UNIQUE, error TEXT
);
CREATE TABLE IF NOT EXISTS free_rows (row INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS chunks (id INTEGER PRIMARY KEY, vectors BLOB);
"""


@dataclass(frozen=True)
class State:
    """What tells whether a file has changed: its size and when it was written, in nanoseconds."""

    size: int
    mtime_ns: int


class Index:
    """Features by the path of their picture.

    Args:
        path: of the SQLite file; made if it is not there.
        dim: length of a feature.
        digest: of the model; an index of another one is emptied.

    Raises:
        OutputError: it can't be opened or made.
    """

    def __init__(self, path: Path, dim: int, digest: str) -> None:
        self.path, self.dim = path, dim
        try:
            self._open(digest)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise OutputError(f"can't use the index {path}: {error}") from error
            log.warning("the index %s is damaged (%s); it is made anew", path, error)
            with suppress(OSError):
                path.unlink()
            self._open(digest)

    def _open(self, digest: str) -> None:
        self._base = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        # large pages: a chunk is one long value
        self._base.execute("PRAGMA page_size = 32768")
        wanted = {"format": _FORMAT, "dim": str(self.dim), "digest": digest}
        with self._writing():
            for statement in _TABLES.split(";"):
                self._base.execute(statement)
            if dict(self._base.execute("SELECT name, value FROM about")) != wanted:
                for table in ("about", "pictures", "free_rows", "chunks"):
                    self._base.execute(f"DELETE FROM {table}")
                self._base.executemany("INSERT INTO about VALUES (?, ?)", wanted.items())

    def close(self) -> None:
        """Close the file; whatever was added is in it."""
        self._base.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All that happens in the block, or nothing of it."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def states(self) -> dict[str, State]:
        """What is known of each file, those that can't be read among them."""
        rows = self._base.execute("SELECT path, size, mtime_ns FROM pictures")
        return {os.fsdecode(path): State(size, mtime) for path, size, mtime in rows}

    def state(self, path: str) -> State | None:
        """What is known of one file now; another process may have added it."""
        found = self._base.execute(
            "SELECT size, mtime_ns FROM pictures WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return State(*found) if found else None

    def errors(self) -> dict[str, str]:
        """Why files can't be read."""
        rows = self._base.execute("SELECT path, error FROM pictures WHERE error IS NOT NULL")
        return {os.fsdecode(path): error for path, error in rows}

    def __len__(self) -> int:
        query = "SELECT COUNT(*) FROM pictures WHERE row IS NOT NULL"
        return int(self._base.execute(query).fetchone()[0])

    def add(self, found: Mapping[str, tuple[State, Tensor | str]]) -> None:
        """Add pictures, or put new features in the place of old ones.

        Args:
            found: path -> its state, and its feature [dim] or why it can't be read.
        """
        with self._writing():
            self._forget(list(found))
            vectors = {p: v for p, (_, v) in found.items() if isinstance(v, Tensor)}
            rows = dict(zip(vectors, self._take_rows(len(vectors)), strict=True))
            self._write_vectors({row: vectors[path] for path, row in rows.items()})
            self._base.executemany(
                "INSERT INTO pictures VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        os.fsencode(path), state.size, state.mtime_ns, rows.get(path),
                        value if isinstance(value, str) else None,
                    )
                    for path, (state, value) in found.items()
                ],
            )  # fmt: skip

    def remove(self, paths: Sequence[str]) -> None:
        """Forget pictures."""
        with self._writing():
            self._forget(paths)

    def _forget(self, paths: Sequence[str]) -> None:
        freed = []
        for path in map(os.fsencode, paths):
            found = self._base.execute(
                "DELETE FROM pictures WHERE path = ? RETURNING row", (path,)
            ).fetchone()
            if found and found[0] is not None:
                freed.append(found[0])
        self._base.executemany("INSERT INTO free_rows VALUES (?)", [(row,) for row in freed])
        # not-a-number is near to nothing, so that an empty row is never found
        self._write_vectors(dict.fromkeys(freed, torch.full((self.dim,), math.nan)))

    def _take_rows(self, count: int) -> list[int]:
        query = "SELECT row FROM free_rows ORDER BY row LIMIT ?"
        rows = [row for (row,) in self._base.execute(query, (count,))]
        self._base.executemany("DELETE FROM free_rows WHERE row = ?", [(row,) for row in rows])
        last = self._base.execute(
            "SELECT MAX(COALESCE((SELECT MAX(row) FROM pictures), -1), "
            "COALESCE((SELECT MAX(row) FROM free_rows), -1), ?)",
            (max(rows, default=-1),),
        ).fetchone()[0]
        return rows + list(range(last + 1, last + 1 + count - len(rows)))

    def _write_vectors(self, vectors: Mapping[int, Tensor]) -> None:
        """Write rows; each chunk that they lie in is read and written once."""
        for chunk, rows in groupby(sorted(vectors), key=lambda row: row // CHUNK):
            query = "SELECT vectors FROM chunks WHERE id = ?"
            found = self._base.execute(query, (chunk,)).fetchone()
            kept = torch.full((CHUNK, self.dim), math.nan, dtype=torch.float16)
            if found:
                kept = _vectors(found[0], self.dim)
            for row in rows:
                kept[row % CHUNK] = vectors[row]
            self._base.execute(
                "INSERT OR REPLACE INTO chunks VALUES (?, ?)", (chunk, kept.numpy().tobytes())
            )

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """(first row, vectors [CHUNK, dim] float32) of all chunks; not-a-number in empty rows.

        Each tensor is overwritten by the next.
        """
        vectors = torch.empty(CHUNK, self.dim)
        for chunk, data in self._base.execute("SELECT id, vectors FROM chunks ORDER BY id"):
            yield chunk * CHUNK, vectors.copy_(_vectors(data, self.dim))

    def nearest(self, query: Tensor, count: int) -> list[tuple[str, float]]:
        """The pictures whose features are nearest to one, exactly.

        Args:
            query: [dim] unit norm.
            count: how many.

        Returns:
            (path, cosine), the nearest first.
        """
        query = query.float()
        self._base.execute("BEGIN")  # one state of the index, whoever writes meanwhile
        try:
            parts = [(first, vectors @ query) for first, vectors in self.chunks()]
            if not parts:
                return []
            rows = torch.cat([torch.arange(first, first + CHUNK) for first, _ in parts])
            similar = torch.cat([part for _, part in parts]).nan_to_num_(nan=-math.inf)
            best = similar.topk(min(count, len(similar)))
            pairs = zip(rows[best.indices].tolist(), best.values.tolist(), strict=True)
            return [(self._path(row), value) for row, value in pairs if value > -math.inf]
        finally:
            self._base.execute("COMMIT")

    def _path(self, row: int) -> str:
        query = "SELECT path FROM pictures WHERE row = ?"
        return os.fsdecode(self._base.execute(query, (row,)).fetchone()[0])

    def vectors(self) -> tuple[list[str], Tensor]:
        """All pictures and their features [n, dim], in half precision."""
        rows = dict(self._base.execute("SELECT row, path FROM pictures WHERE row IS NOT NULL"))
        parts, paths = [torch.empty(0, self.dim, dtype=torch.float16)], []
        for first, vectors in self.chunks():
            places = [place for place in range(CHUNK) if first + place in rows]
            parts.append(vectors[places].half())
            paths += [os.fsdecode(rows[first + place]) for place in places]
        return paths, torch.cat(parts)


def index_path(folder: Path, digest: str, *, runs: bool = False, ignore_text: bool = False) -> Path:
    """Where the index of a folder lies: in it, or in the cache where it can't be written.

    Args:
        folder: whose pictures it is of.
        digest: of the model; each has an index of its own.
        runs: of the pictures of runs only.
        ignore_text: of pictures without the words that are written on them.
    """
    kind = ("runs" if runs else "search") + ("-wordless" if ignore_text else "")
    name = f".guidegen-{kind}-{digest[:8]}.sqlite"
    if (folder / name).is_file() or os.access(folder, os.W_OK):
        return folder / name
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    kept = cache_folder() / "search"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"can't make the folder {kept}: {error.strerror or error}") from error
    return kept / f"{place}{name}"


def _vectors(data: bytes, dim: int) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.float16).view(CHUNK, dim)

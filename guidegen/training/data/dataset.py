"""Reader of captioned images: a zip, a folder with `captions.jsonl`, or pairs of files.

Pairs are `name.png` (or .webp, .jpg) beside `name.txt`, the caption. A record of `captions.jsonl`
needs `file` and `caption`; the other fields have defaults.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from guidegen.errors import DataError

CAPTIONS = "captions.jsonl"
IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Record:
    """One captioned image; `concept` is what it shows, shared by several drawings of it."""

    file: str
    caption: str
    keywords: tuple[str, ...] = ()
    source: str = ""
    licence: str = ""
    style: str = ""
    colors: tuple[tuple[str, float], ...] = ()
    concept: str = ""
    split: str = "train"


class CaptionedImages:
    """Records of a captioned-images zip or folder, and their pixels on demand.

    Args:
        path: zip file or folder.
        split: keep only the records of this split; None keeps all.

    Raises:
        DataError: nothing is there, or a record is malformed (the message has its line number).
    """

    def __init__(self, path: Path, *, split: str | None = None) -> None:
        self.path, self._reading = path, Lock()
        if path.is_dir():
            self._zip = None
        elif path.is_file() and zipfile.is_zipfile(path):
            self._zip = zipfile.ZipFile(path)
        else:
            raise DataError(f"{path}: neither a zip file nor a folder")
        records = list(self._read_records())
        self.records = [r for r in records if split is None or r.split == split]
        if not self.records:
            raise DataError(f"{path}: no captioned images" + (f" in split {split!r}" * bool(split)))

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def image(self, record: Record, size: int | None = None) -> NDArray[np.uint8]:
        """Pixels of one record.

        Returns:
            RGBA, uint8 [size, size, 4]; a picture that is not square is centred on transparency.
            `size` None keeps the longer side as it is on disk.

        Raises:
            DataError: its file is missing or no picture.
        """
        try:
            with Image.open(io.BytesIO(self._read(record.file))) as opened:
                picture = opened.convert("RGBA")
        except (OSError, KeyError, UnidentifiedImageError) as error:
            raise DataError(f"{self.path}: {record.file}: {error}") from error
        side = max(picture.size)
        if picture.width != picture.height:
            square = Image.new("RGBA", (side, side))
            square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
            picture = square
        if size is not None and side != size:
            picture = picture.resize((size, size), Image.Resampling.LANCZOS)
        return np.asarray(picture, dtype=np.uint8)

    def images(self, size: int, records: Iterable[Record] | None = None) -> NDArray[np.uint8]:
        """Pixels of many records (all by default): RGBA, uint8 [n, size, size, 4].

        Decoded by as many threads as there are processors: Pillow's decoders run side by side.
        """
        chosen = iter(self.records if records is None else records)
        pictures: list[NDArray[np.uint8]] = []
        with ThreadPool() as pool:
            while part := list(islice(chosen, _AT_ONCE)):  # so that a bar on them shows how far
                pictures += pool.map(lambda record: self.image(record, size), part)
        return np.stack(pictures)

    def _read(self, name: str) -> bytes:
        if self._zip is not None:
            with self._reading:  # its members share one file
                return self._zip.read(name)
        return (self.path / name).read_bytes()

    def _read_records(self) -> Iterator[Record]:
        try:
            lines = self._read(CAPTIONS).decode("utf-8").splitlines()
        except (KeyError, FileNotFoundError):
            yield from self._read_pairs()
            return
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield parse_record(json.loads(line))
                except (ValueError, TypeError, KeyError) as error:
                    raise DataError(f"{self.path}: {CAPTIONS} line {number}: {error}") from error

    def _read_pairs(self) -> Iterator[Record]:
        if self._zip is not None:
            names = set(self._zip.namelist())
        else:
            names = {p.relative_to(self.path).as_posix() for p in self.path.rglob("*")}
        for name in sorted(names):
            stem, dot, suffix = name.rpartition(".")
            if (dot + suffix).lower() in IMAGE_SUFFIXES and f"{stem}.txt" in names:
                caption = self._read(f"{stem}.txt").decode("utf-8").strip()
                yield parse_record({"file": name, "caption": caption})


def parse_record(fields: dict[str, Any]) -> Record:
    """A record from one line of `captions.jsonl`; unknown fields are ignored."""
    caption = " ".join(str(fields["caption"]).split())
    if not caption:
        raise ValueError("empty caption")
    return Record(
        file=str(fields["file"]),
        caption=caption,
        keywords=tuple(str(k) for k in fields.get("keywords") or ()),
        source=str(fields.get("source") or ""),
        licence=str(fields.get("licence") or ""),
        style=str(fields.get("style") or ""),
        colors=tuple((str(name), float(share)) for name, share in fields.get("colors") or ()),
        concept=str(fields.get("concept") or re.sub(r"[^\w]+", "-", caption.lower()).strip("-")),
        split=str(fields.get("split") or "train"),
    )

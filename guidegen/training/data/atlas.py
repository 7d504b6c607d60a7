"""The collage's patches: chosen drawings, rendered, in one zip.

The choice is a table (`atlas_choice.tsv`), made by looking at every drawing: one a line, with its
source, its id there, a plain English name, what it shows, its kind and keywords. The kind is empty
for a cut-out, `full` for an object that fills its box (a book, a door), `scene` for a picture with
its own background (a night sky), which suits as a backdrop.
"""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from guidegen.errors import DataError
from guidegen.training.data.drawings import Drawings
from guidegen.training.data.fetch import default_cache, unpacked
from guidegen.training.data.rasterise import colour_shares, is_framed
from guidegen.training.data.sources import SOURCES, Source, by_key

COLUMNS = ("source", "id", "name", "concept", "kind", "keywords")
KINDS = ("", "full", "scene")
MAXIMUM_BYTES = 20_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: equal input gives equal bytes


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One line of the table of chosen drawings."""

    source: str
    id: str
    name: str
    concept: str
    scene: bool = False
    full: bool = False
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AtlasReport:
    """What `build_atlas` made."""

    patches: int
    names: int
    concepts: int
    scenes: int
    bytes: int
    per_source: dict[str, int]
    left_out: tuple[str, ...]


def read_choice(path: Path | None = None) -> list[Choice]:
    """Read the table of chosen drawings; None reads the one that comes with guidegen.

    Raises:
        DataError: a line is malformed or names an unknown source; the message has all such lines.
    """
    if path is None:
        text = (resources.files(__package__) / "atlas_choice.tsv").read_text("utf-8")
    else:
        text = path.read_text("utf-8")
    known, bad, chosen = by_key(), list[str](), list[Choice]()
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter="\t"), start=1):
        if not row or row[0].startswith("#") or tuple(row) == COLUMNS:
            continue
        if len(row) != len(COLUMNS) or row[0] not in known or not row[2] or row[4] not in KINDS:
            bad.append(f"line {number}: {' '.join(row)[:60]}")
            continue
        keywords = tuple(word for word in row[5].split(", ") if word)
        chosen.append(
            Choice(
                source=row[0],
                id=row[1],
                name=row[2],
                concept=row[3] or row[2],
                scene=row[4] == "scene",
                full=row[4] == "full",
                keywords=keywords,
            )
        )
    if bad:
        raise DataError(f"{path or 'atlas_choice.tsv'}: " + "; ".join(bad[:10]))
    return chosen


def build_atlas(
    out: Path,
    *,
    cache: Path | None = None,
    choice: Path | None = None,
    longest: int = 192,
    quality: int = 78,
    alpha_quality: int = 80,
    limit_bytes: int = MAXIMUM_BYTES,
    progress: bool = True,
) -> AtlasReport:
    """Render the chosen drawings and write the collage's `patches.zip`.

    The zip is stored, not deflated (WebP is compressed already), so that one patch can be read
    without the others. It is written under a temporary name and renamed when complete.

    Args:
        out: the zip file.
        cache: folder of downloaded packages.
        choice: table of chosen drawings; None takes guidegen's own.
        longest: pixels of each patch's longest side.
        quality: WebP quality of the colours, 0 to 100.
        alpha_quality: WebP quality of the outline, 0 to 100.
        limit_bytes: refuse to write more than this.
        progress: show a bar on standard error.

    Returns:
        Counts, and what was left out with the reason.

    Raises:
        DataError: a package can't be had, a drawing is not in its package, or the zip is too big.
    """
    from tqdm import tqdm

    cache = cache or default_cache()
    chosen = read_choice(choice)
    drawings = _open_all({item.source for item in chosen}, cache)
    sources = by_key()
    records: list[dict[str, Any]] = []
    files: list[bytes] = []
    left_out: list[str] = []
    for item in tqdm(chosen, desc="patches", unit="patch", disable=not progress):
        try:
            picture = drawings[item.source].picture(item.id, longest)
        except (KeyError, FileNotFoundError):
            left_out.append(f"{item.source} {item.id}: no such drawing in this package")
            continue
        except DataError as error:
            left_out.append(f"{item.source} {item.id}: {error}")
            continue
        if not (item.scene or item.full) and is_framed(picture):
            left_out.append(f"{item.source} {item.id}: framed, and marked neither scene nor full")
            continue
        name = f"{len(files):04d}.webp"
        records.append(_record(item, sources[item.source], picture, name))
        files.append(_webp(picture, quality, alpha_quality))
    size = _write(out, records, files, limit_bytes)
    return AtlasReport(
        patches=len(files),
        names=len({record["name"] for record in records}),
        concepts=len({record["concept"] for record in records}),
        scenes=sum(record["scene"] for record in records),
        bytes=size,
        per_source=_counts(record["source"] for record in records),
        left_out=tuple(left_out),
    )


def _open_all(keys: set[str], cache: Path) -> dict[str, Drawings]:
    return {s.key: s.open(unpacked(s.package, cache)) for s in SOURCES if s.key in keys}


def _record(item: Choice, source: Source, picture: Image.Image, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "caption": item.name,
        **asdict(item),
        "licence": source.licence,
        "style": source.style,
        "width": picture.width,
        "height": picture.height,
        "aspect": round(picture.width / picture.height, 3),
        "colors": colour_shares(picture),
    }


def _webp(picture: Image.Image, quality: int, alpha_quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, alpha_quality=alpha_quality, method=6)
    return buffer.getvalue()


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _write(out: Path, records: list[dict[str, Any]], files: list[bytes], limit_bytes: int) -> int:
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    new = out.with_name(out.name + ".new")
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        # the table alone is deflated: text shrinks to a seventh
        info = zipfile.ZipInfo("patches.jsonl", _EPOCH)
        archive.writestr(info, lines, zipfile.ZIP_DEFLATED)
        for record, data in zip(records, files, strict=True):
            archive.writestr(zipfile.ZipInfo(record["file"], _EPOCH), data)
    size = new.stat().st_size
    if size > limit_bytes:
        new.unlink()
        raise DataError(
            f"the patches take {size:,} bytes, more than {limit_bytes:,}; lower quality or longest"
        )
    os.replace(new, out)
    return size

"""The captioned cut-outs, rebuilt from the packages that they come from.

`rebuild` downloads pinned packages, renders and names their drawings, leaves out what does not
teach, and writes one zip: `captions.jsonl` and 128-pixel RGBA pictures, each cut to its outline and
centred.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from guidegen.errors import DataError
from guidegen.training.data import clipart
from guidegen.training.data.drawings import Drawings, FileDrawings
from guidegen.training.data.fetch import default_cache, unpacked
from guidegen.training.data.naming import (
    EmojiNames,
    Label,
    emoji_namer,
    from_freedesktop,
    from_slug,
)
from guidegen.training.data.rasterise import centred, colour_shares, coverage, is_grey, look, trim
from guidegen.training.data.sources import EMOJI_GROUPS, EMOJI_KEYWORDS, SOURCES, Source

CANVAS, LONGEST = 128, 120
MAXIMUM_ASPECT, MINIMUM_COVERAGE = 6.0, 0.02
_RULES = 1  # raise when a rule below changes: finished sources in the cache are then made again
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class RebuildReport:
    """Pictures in the zip, by source and by split."""

    per_source: dict[str, int]
    per_split: dict[str, int]
    bytes: int


def rebuild(
    out: Path,
    *,
    sources: Literal["main", "judge"] = "main",
    cache: Path | None = None,
    progress: bool = True,
) -> RebuildReport:
    """Make the captioned cut-outs from their packages.

    A source that is finished is kept in `cache`, so a killed run goes on with the next one. The
    same packages give the same records and splits.

    Args:
        out: zip file to write.
        sources: `main` (MIT, Apache-2.0, public domain) or `judge` (CC-BY, for measuring only).
        cache: folder for downloads and finished sources; a folder of the user's cache by default.
        progress: show bars on standard error.

    Returns:
        Counts.

    Raises:
        DataError: a package can't be had or used; the message says which and what to do.
    """
    cache = cache or default_cache()
    names = EmojiNames(unpacked(EMOJI_GROUPS, cache), unpacked(EMOJI_KEYWORDS, cache))
    chosen = [source for source in SOURCES if source.use == sources]
    parts = [_finished(source, names, cache, progress) for source in chosen]
    return _merge(parts, out)


def split_of(concept: str, drawing: str) -> str:
    """`train`, `val` or `val_concept`, by hash: it does not depend on what else is in the set.

    Four per cent of the concepts are held out whole, and four per cent of the other drawings; `val`
    is meant for concepts that have another drawing in train, which `_merge` sees to.
    """
    if _share("concept", concept) < 0.04:
        return "val_concept"
    return "val" if _share("drawing", drawing) < 0.04 else "train"


def _share(kind: str, text: str) -> float:
    """A fixed pseudo-random number in [0, 1) for a text."""
    digest = hashlib.sha256(f"{kind}:{text}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _namer(
    source: Source, drawings: Drawings, names: EmojiNames, folder: Path
) -> Callable[[str], Label | None]:
    match source.naming:
        case "emoji":
            return emoji_namer(names, folder / "package/chars.json")
        case "codepoint":
            return names.by_code
        case "freedesktop":
            return from_freedesktop
        case "openclipart":
            if not isinstance(drawings, FileDrawings):
                raise DataError(f"{source.key}: clip art must be files")
            return clipart.namer(drawings)
        case "slug":
            return from_slug


def _finished(source: Source, names: EmojiNames, cache: Path, progress: bool) -> Path:
    """Zip with one source's pictures and records, from the cache or made now."""
    from tqdm import tqdm

    part = cache / "cutouts" / f"{source.key}-{source.package.sha256[:8]}-{_RULES}.zip"
    if part.is_file():
        return part
    folder = unpacked(source.package, cache)
    drawings = source.open(folder)
    namer = _namer(source, drawings, names, folder)
    part.parent.mkdir(parents=True, exist_ok=True)
    new = part.with_suffix(f".{os.getpid()}.part")
    records: list[dict[str, Any]] = []
    bar = tqdm(list(drawings), desc=source.key, unit="drawing", disable=not progress)
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        for record, data in _cutouts(source, drawings, namer, iter(bar)):
            record["file"] = f"{len(records):05d}.webp"
            archive.writestr(zipfile.ZipInfo(record["file"], _EPOCH), data)
            records.append(record)
        archive.writestr("records.json", json.dumps(records))
    new.replace(part)
    return part


def _cutouts(
    source: Source,
    drawings: Drawings,
    namer: Callable[[str], Label | None],
    names: Iterator[str],
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Records and WebP pictures of the drawings worth keeping."""
    for name in names:
        label = namer(name)
        if label is None:
            continue
        # five skin tones of each gesture would drown the rest
        if "skin tone" in label.caption and _share("tone", f"{source.key}:{name}") >= 0.2:
            continue
        try:
            picture = drawings.picture(name, LONGEST)
        except DataError:  # a few clip-art files are broken; they are no reason to stop
            continue
        aspect = max(picture.size) / min(picture.size)
        square = centred(picture, CANVAS)
        if aspect > MAXIMUM_ASPECT or coverage(square) < MINIMUM_COVERAGE:
            continue
        yield record_of(source, name, label, picture), _webp(square)


def record_of(source: Source, name: str, label: Label, picture: Image.Image) -> dict[str, Any]:
    """One line of `captions.jsonl`, still without its file and split; `look` finds look-alikes."""
    return {
        "caption": label.caption,
        "keywords": list(label.keywords),
        "source": source.key,
        "id": name,
        "licence": source.licence,
        "group": label.group,
        "style": source.style,
        "quality": label.quality,
        "colors": colour_shares(picture),
        "concept": label.concept,
        "mono": is_grey(picture),
        "look": hashlib.sha256(look(trim(picture, LONGEST))).hexdigest()[:24],
    }


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90, method=4)
    return buffer.getvalue()


def _merge(parts: list[Path], out: Path) -> RebuildReport:
    """One zip of all parts, without look-alikes, with splits."""
    kept: list[tuple[zipfile.ZipFile, dict[str, Any]]] = []
    seen: set[str] = set()
    archives = [zipfile.ZipFile(part) for part in parts]
    try:
        for archive in archives:
            for record in json.loads(archive.read("records.json")):
                if (key := record.pop("look")) not in seen:
                    seen.add(key)
                    record["split"] = split_of(
                        record["concept"], f"{record['source']}:{record['id']}"
                    )
                    kept.append((archive, record))
        trained = {record["concept"] for _, record in kept if record["split"] == "train"}
        for _, record in kept:
            if record["split"] == "val" and record["concept"] not in trained:
                record["split"] = "train"
        return _write(kept, out)
    finally:
        for archive in archives:
            archive.close()


def _write(kept: list[tuple[zipfile.ZipFile, dict[str, Any]]], out: Path) -> RebuildReport:
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(out.name + ".new")
    per_source: dict[str, int] = {}
    per_split: dict[str, int] = {}
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        lines = []
        for number, (part, record) in enumerate(kept):
            data = part.read(record["file"])
            record = {**record, "file": f"images/{number:05d}.webp"}
            archive.writestr(zipfile.ZipInfo(record["file"], _EPOCH), data)
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
            per_source[record["source"]] = per_source.get(record["source"], 0) + 1
            per_split[record["split"]] = per_split.get(record["split"], 0) + 1
        info = zipfile.ZipInfo("captions.jsonl", _EPOCH)
        archive.writestr(info, "".join(lines), zipfile.ZIP_DEFLATED)
    os.replace(new, out)
    return RebuildReport(per_source, per_split, out.stat().st_size)

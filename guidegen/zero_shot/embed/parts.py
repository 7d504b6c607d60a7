"""Features of many pictures in parts, each a few files of clip-retrieval's layout.

A part's table is written last, so that a part is there or is not, whatever ended the process.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from guidegen.clip.open_clip_perceptor import CLIPPerceptor
from guidegen.errors import ConfigError, OutputError
from guidegen.utils.files import make_folder, replacing, write_atomic
from guidegen.zero_shot.embed.features import features_of

# Pictures in one part.
PART = 10_000
# What the folder holds the features of.
PLAN = "plan.json"


@dataclass(frozen=True)
class Part:
    """Some of the pictures.

    Attributes:
        number: from 0.
        paths: of them.
        texts: all of them in the first part, none in the others.
    """

    number: int
    paths: tuple[Path, ...]
    texts: tuple[str, ...] = ()


def missing_parts(
    out: Path, paths: Sequence[Path], texts: Sequence[str], *, perceptor: str, digest: str
) -> list[Part]:
    """The parts that are still to be computed; the first call notes what they are parts of.

    Raises:
        ConfigError: the folder holds features of other pictures, texts or weights.
        OutputError: it can't be written.
    """
    for folder in ("img_emb", "text_emb", "metadata"):
        make_folder(out / folder)
    names = hashlib.sha256()
    for name in (*map(os.fsencode, paths), *(text.encode() for text in texts)):
        names.update(len(name).to_bytes(8, "big") + name)
    plan = {
        "perceptor": perceptor, "digest": digest, "pictures": len(paths), "texts": len(texts),
        "part": PART, "names": names.hexdigest(),
    }  # fmt: skip
    try:
        found = json.loads((out / PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        write_atomic(out / PLAN, json.dumps(plan, indent=2).encode())
        found = plan
    except (OSError, ValueError) as error:
        raise OutputError(f"can't read {out / PLAN}: {error}") from None
    if found != plan:
        raise ConfigError(
            f"{out} holds features of other pictures or texts, or of another CLIP; name another "
            "folder",
            field="out",
        )
    starts = range(0, max(len(paths), 1), PART)
    parts = [
        Part(number, tuple(paths[start : start + PART]), tuple(texts) if number == 0 else ())
        for number, start in enumerate(starts)
    ]
    return [part for part in parts if not _table(out, part).is_file()]


def write_part(out: Path, part: Part, model: CLIPPerceptor) -> tuple[str, ...]:
    """Compute and write one part.

    Returns:
        One line for each picture that can't be read.
    """
    found = features_of(part.paths, part.texts, model)
    if found.texts:
        _write_npy(out / "text_emb" / f"text_emb_{part.number}.npy", found.text)
    _write_npy(out / "img_emb" / f"img_emb_{part.number}.npy", found.image)
    write_table(_table(out, part), {"image_path": [str(path) for path in found.paths]})
    return found.errors


def _table(out: Path, part: Part) -> Path:
    return out / "metadata" / f"metadata_{part.number}.parquet"


def write_table(out: Path, columns: dict[str, list[Any]]) -> None:
    """Write columns as Parquet."""
    arrow = import_arrow()
    import pyarrow.parquet

    with replacing(out) as temporary:
        pyarrow.parquet.write_table(arrow.table(columns), temporary)


def _write_npy(out: Path, rows: np.ndarray) -> None:
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.save(file, rows.astype(np.float16))  # as clip-retrieval keeps them


def import_arrow() -> Any:
    """The package pyarrow.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise ConfigError(
            "Parquet needs the package pyarrow: pip install 'guidegen[tool]', or name a "
            ".safetensors file",
            field="out",
        ) from None
    return pyarrow

"""Features of pictures and texts as files.

Three layouts, by the name that is asked for:

    x.safetensors     "image" [n, d] and "text" [m, d]; x.jsonl beside it says what each row is
    x.parquet         a row each: kind, path or text, embedding (needs pyarrow)
    a folder          that of clip-retrieval (https://github.com/rom1504/clip-retrieval), in parts:
                      img_emb/img_emb_0.npy, text_emb/text_emb_0.npy, metadata/metadata_0.parquet
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.errors import ConfigError, OutputError
from guidegen.utils.files import replacing, write_atomic
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, encode, find_pictures

# Pictures in one part of clip-retrieval's layout.
PART = 10_000


@dataclass(frozen=True)
class Embeddings:
    """Features and what they are of.

    Attributes:
        image: [n, d] float32, unit norm.
        paths: n files.
        text: [m, d] float32, unit norm.
        texts: m of them.
        errors: of pictures that can't be read, one line each.
    """

    image: np.ndarray
    paths: tuple[Path, ...]
    text: np.ndarray
    texts: tuple[str, ...]
    errors: tuple[str, ...] = ()


def embed(
    pictures: Pictures = (),
    texts: Sequence[str] = (),
    *,
    perceptor: str = "embedded",
    device: str = "auto",
) -> Embeddings:
    """Features of pictures and texts, in one space.

    Args:
        pictures: files and folders.
        texts: any.
        perceptor: the CLIP, as `--perceptor` takes it.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        GuidegenError: a model or device that can't be used; pictures that are not there.
    """
    paths = find_pictures(pictures) if pictures else []
    return _embed(paths, texts, open_clip_model(perceptor, device))


def _embed(paths: Sequence[Path], texts: Sequence[str], model: CLIPPerceptor) -> Embeddings:
    rows, read, errors = [], [], []
    for each in encode(paths, model):
        if each.feature is None:
            errors.append(each.error)
        else:
            rows.append(each.feature)
            read.append(each.path)
    with torch.no_grad():
        words = model.encode_text(list(texts)).cpu()
    image = torch.stack(rows) if rows else words.new_empty(0, words.shape[1])
    return Embeddings(image.numpy(), tuple(read), words.numpy(), tuple(texts), tuple(errors))


def check_embed_out(out: Path) -> None:
    """Refuse a place or layout that can't be written.

    Raises:
        ConfigError: another suffix, or pyarrow is needed and not there.
    """
    if out.suffix not in ("", ".safetensors", ".parquet") and not out.is_dir():
        raise ConfigError(
            "name a .safetensors or .parquet file or a folder (clip-retrieval's layout), not "
            f"{out}",
            field="out",
        )
    if out.suffix != ".safetensors":
        _arrow()


def write_embeddings(
    out: Path,
    pictures: Pictures = (),
    texts: Sequence[str] = (),
    *,
    perceptor: str = "embedded",
    device: str = "auto",
) -> Iterator[str]:
    """Compute features and write them, see the module for the layouts.

    A folder is written in parts of 10,000 pictures; those that are there already are kept, so that
    the same call goes on after it was stopped.

    Yields:
        One line for each picture that can't be read.

    Raises:
        GuidegenError: as `embed` and `check_embed_out`; `out` can't be written.
    """
    check_embed_out(out)
    paths = find_pictures(pictures) if pictures else []
    model = open_clip_model(perceptor, device)
    if out.suffix in (".safetensors", ".parquet"):
        found = _embed(paths, texts, model)
        yield from found.errors
        _make_folder(out.parent)
        (_write_safetensors if out.suffix == ".safetensors" else _write_parquet)(out, found, model)
        return
    for folder in ("img_emb", "text_emb", "metadata"):
        _make_folder(out / folder)
    for number, start in enumerate(range(0, max(len(paths), 1), PART)):
        last = out / "metadata" / f"metadata_{number}.parquet"
        if last.is_file():
            continue
        found = _embed(paths[start : start + PART], texts if number == 0 else (), model)
        yield from found.errors
        if len(found.texts):
            _write_npy(out / "text_emb" / f"text_emb_{number}.npy", found.text)
        _write_npy(out / "img_emb" / f"img_emb_{number}.npy", found.image)
        _write_table(last, {"image_path": [str(path) for path in found.paths]})


def _write_safetensors(out: Path, found: Embeddings, model: CLIPPerceptor) -> None:
    about = {"perceptor": model.name, "digest": model.digest}
    tensors = {"image": torch.from_numpy(found.image), "text": torch.from_numpy(found.text)}
    lines = [{"kind": "image", "path": str(path)} for path in found.paths]
    lines += [{"kind": "text", "text": text} for text in found.texts]
    rows = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomic(out.with_suffix(".jsonl"), rows.encode(errors="backslashreplace"))
    with replacing(out) as temporary:
        save_file(tensors, temporary, metadata=about)


def _write_parquet(out: Path, found: Embeddings, _: CLIPPerceptor) -> None:
    names = [*map(str, found.paths), *found.texts]
    kinds = ["image"] * len(found.paths) + ["text"] * len(found.texts)
    rows = np.concatenate([found.image, found.text])
    _write_table(out, {"kind": kinds, "name": names, "embedding": list(rows)})


def _write_table(out: Path, columns: dict[str, list[Any]]) -> None:
    arrow = _arrow()
    import pyarrow.parquet

    with replacing(out) as temporary:
        pyarrow.parquet.write_table(arrow.table(columns), temporary)


def _write_npy(out: Path, rows: np.ndarray) -> None:
    with replacing(out) as temporary, temporary.open("wb") as file:
        np.save(file, rows.astype(np.float16))  # as clip-retrieval keeps them


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"can't make the folder {folder}: {error.strerror or error}") from error


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ConfigError(
            "Parquet needs the package pyarrow: pip install 'guidegen[tool]', or name a "
            ".safetensors file",
            field="out",
        ) from None
    return pyarrow

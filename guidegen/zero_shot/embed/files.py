"""Features as files.

Three layouts, by the name that is asked for:

    x.safetensors     "image" [n, d] and "text" [m, d]; x.jsonl beside it says what each row is
    x.parquet         a row each: kind, path or text, embedding (needs pyarrow)
    a folder          that of clip-retrieval (https://github.com/rom1504/clip-retrieval), in parts:
                      img_emb/img_emb_0.npy, text_emb/text_emb_0.npy, metadata/metadata_0.parquet
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from guidegen.batch.on_ray.cluster import Cluster
from guidegen.clip.open_clip_perceptor import CLIPPerceptor
from guidegen.errors import ConfigError
from guidegen.utils.files import make_folder, replacing, write_atomic
from guidegen.zero_shot.embed.features import Embeddings, features_of
from guidegen.zero_shot.embed.parts import (
    import_arrow,
    missing_parts,
    write_part,
    write_table,
)
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, find_pictures


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
        import_arrow()


def write_embeddings(
    out: Path,
    pictures: Pictures = (),
    texts: Sequence[str] = (),
    *,
    perceptor: str = "embedded",
    device: str = "auto",
    cluster: Cluster | None = None,
) -> Iterator[str]:
    """Compute features and write them, see the module for the layouts.

    A folder is written in parts of 10,000 pictures; those that are there already are kept, so that
    the same call goes on after it was stopped, here or on a cluster.

    Args:
        out: what to write.
        pictures: files and folders.
        texts: any.
        perceptor: the CLIP, as `--perceptor` takes it.
        device: auto, cpu, cuda, cuda:1 or mps.
        cluster: parts are computed by Ray's workers; None computes them here. A folder only, which
            all machines must see under the same path, as they must the pictures.

    Yields:
        One line for each picture that can't be read.

    Raises:
        GuidegenError: as `embed` and `check_embed_out`; `out` can't be written, or holds the
            features of other pictures; the cluster can't be reached, or a part lost its worker time
            and again.
    """
    check_embed_out(out)
    alone = out.suffix in (".safetensors", ".parquet") and not out.is_dir()
    if alone and cluster is not None:
        raise ConfigError(
            "on Ray features are written in parts: name a folder, not a file", field="out"
        )
    paths = find_pictures(pictures) if pictures else []
    if cluster is not None:
        from guidegen.zero_shot.embed.ray_parts import write_on_ray

        yield from write_on_ray(cluster, out, paths, texts, perceptor=perceptor, device=device)
        return
    model = open_clip_model(perceptor, device)
    if alone:
        found = features_of(paths, texts, model)
        yield from found.errors
        make_folder(out.parent)
        (_write_safetensors if out.suffix == ".safetensors" else _write_parquet)(out, found, model)
        return
    for part in missing_parts(out, paths, texts, perceptor=model.name, digest=model.digest):
        yield from write_part(out, part, model)


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
    write_table(out, {"kind": kinds, "name": names, "embedding": list(rows)})

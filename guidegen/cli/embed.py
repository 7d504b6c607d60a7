"""`guidegen embed`: CLIP's features of pictures and texts, as files."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.cli import tables
from guidegen.cli.cluster import Address, Cores, Engine, Workers, named_cluster
from guidegen.errors import ConfigError


def embed(
    *pictures: Annotated[Path, Parameter(name="IMAGE", help="Pictures, and folders of them.")],
    text: Annotated[
        tuple[str, ...], Parameter(name=["--text", "-t"], help="A text; repeatable.")
    ] = (),
    texts: Annotated[
        Path | None, Parameter(help="Text file, one text a line; # begins a comment.")
    ] = None,
    out: Annotated[
        Path,
        Parameter(
            name=["--out", "-o"],
            help="x.safetensors (with x.jsonl), x.parquet, or a folder in clip-retrieval's layout.",
        ),
    ] = Path("embeddings.safetensors"),
    perceptor: tables.Model = "embedded",
    device: tables.Device = "auto",
    engine: Engine = None,
    address: Address = None,
    workers: Workers = None,
    cores_per_worker: Cores = None,
) -> None:
    """Write CLIP's features of pictures and texts: unit vectors in one space.

    A folder is written in parts and goes on where an earlier call was stopped.
    """
    if not (pictures or text or texts):
        raise ConfigError("name pictures or texts: guidegen embed folder --text 'a red apple'")
    cluster = named_cluster(engine, address, workers, cores_per_worker)
    from guidegen.zero_shot.embed import write_embeddings
    from guidegen.zero_shot.labels import read_labels

    words = [*text, *(read_labels(texts) if texts is not None else [])]
    found = write_embeddings(
        out, pictures, words, perceptor=perceptor, device=device, cluster=cluster
    )
    for problem in found:
        tables.note(f"guidegen: {problem}")
    print(out)

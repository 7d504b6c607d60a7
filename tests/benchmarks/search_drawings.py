"""`guidegen search` on the captioned drawings: index time, query time, what is found.

    python -m tests.benchmarks.search_drawings captioned-cutouts.zip

A hundred written queries: the sentences of free_sentences.jsonl, written before any model was
trained, and the plain ones of search_queries.jsonl. A drawing is right if its caption holds one of
the query's concepts as whole words. The captions are not shown to the search. Most drawings were
among those that the embedded CLIP learned from. With --folder the drawings and their index are kept
there and taken up again.
"""

import argparse
import json
import platform
import tempfile
import time
import zipfile
from pathlib import Path

from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.search.index import Index
from guidegen.zero_shot.search.query import make_query, open_index
from guidegen.zero_shot.search.update import bring_up_to_date

_QUERIES = ("free_sentences.jsonl", "search_queries.jsonl")
_DEPTHS = (1, 5, 10)


def processor() -> str:
    """What Linux calls it, else what Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def captions(data: Path) -> dict[str, dict]:
    """File -> its record."""
    with zipfile.ZipFile(data) as file:
        records = [json.loads(line) for line in file.read("captions.jsonl").splitlines()]
    return {record["file"]: record for record in records}


def filled(folder: Path, data: Path) -> Index:
    """An index of all drawings, and how long it took."""
    with zipfile.ZipFile(data) as file:
        for name in file.namelist():
            if name.endswith(".webp") and not (folder / name).is_file():
                file.extract(name, folder)
    model = open_clip_model()
    index = open_index(folder, model)
    before = len(index)
    start = time.monotonic()
    for _ in bring_up_to_date(folder, index, model):
        pass
    seconds, count = time.monotonic() - start, len(index) - before
    if count:
        pace = count / seconds * 60
        print(f"indexed {count} drawings in {seconds:.0f} s, {pace:.0f} a minute", flush=True)
    start = time.monotonic()
    for _ in bring_up_to_date(folder, index, model):
        pass
    print(f"looked for changes in {time.monotonic() - start:.2f} s", flush=True)
    return index


def queries() -> list[dict]:
    """The written ones."""
    lines = [
        line
        for name in _QUERIES
        for line in Path(__file__).with_name(name).read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def is_right(caption: str, concepts: list[str]) -> bool:
    """Whether a caption holds one of the concepts as whole words."""
    return any(f" {concept} " in f" {caption.lower()} " for concept in concepts)


def main(data: Path, folder: Path) -> None:
    """Print the figures."""
    print(processor())
    records = captions(data)
    index, model = filled(folder, data), open_clip_model()
    asked, places, times = queries(), [], []
    for query in asked:
        start = time.monotonic()
        hits = index.nearest(make_query(model, query["sentence"], ()), max(_DEPTHS))
        times.append(time.monotonic() - start)
        right = [is_right(records[path]["caption"], query["concepts"]) for path, _ in hits]
        places.append(right.index(True) if any(right) else max(_DEPTHS))
        if not any(right):
            names = "; ".join(records[path]["caption"] for path, _ in hits[:4])
            print(f"missed: {query['sentence']} -> {names}")
    for depth in _DEPTHS:
        share = sum(place < depth for place in places) / len(places)
        print(f"a right one among the first {depth}: {share:.0%} of {len(places)} queries")
    times.sort()
    print(
        f"query of {len(index)}: median {times[len(times) // 2] * 1000:.0f} ms, "
        f"slowest {times[-1] * 1000:.0f} ms"
    )
    index.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main(given.data, given.folder or Path(temporary))

"""The index of `guidegen search` with many synthetic vectors: query time, memory, recall.

    python -m tests.benchmarks.search --count 1000000

Vectors are Gaussian directions, the hardest case for a search that leaves something out. Recall is
the share of the ten nearest by float32 that the index, which keeps half precision, finds as well.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from guidegen.zero_shot.search.index import Index, State
from tests.benchmarks.search_drawings import processor

_QUERIES, _NEAREST, _BATCH = 20, 10, 10_000


def vectors(number: int, count: int, dim: int) -> torch.Tensor:
    """A batch of unit vectors, the same each time."""
    rng = torch.Generator().manual_seed(number)
    return F.normalize(torch.randn(count, dim, generator=rng), dim=1)


def main(count: int, dim: int) -> None:
    """Fill an index, ask it, and compare with the exact answers."""
    print(processor())
    queries = vectors(-1 % 2**31, _QUERIES, dim)
    best = torch.full((_QUERIES, _NEAREST), -1.0)
    rows = torch.zeros(_QUERIES, _NEAREST, dtype=torch.long)
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder) / "x.sqlite", dim, "synthetic")
        start = time.monotonic()
        for first in range(0, count, _BATCH):
            part = vectors(first, min(_BATCH, count - first), dim)
            index.add({f"{first + i}": (State(1, 1), row) for i, row in enumerate(part)})
            similar = torch.cat([best, queries @ part.T], 1)
            places = torch.cat(
                [rows, torch.arange(first, first + len(part)).expand(_QUERIES, -1)], 1
            )
            best, order = similar.topk(_NEAREST, 1)
            rows = places.gather(1, order)
        print(f"{count} vectors of {dim}: filled in {time.monotonic() - start:.0f} s")
        times, work, found = [], [], 0
        for query, wanted in zip(queries, rows.tolist(), strict=True):
            start, before = time.monotonic(), time.process_time()
            names = {int(path) for path, _ in index.nearest(query, _NEAREST)}
            times.append(time.monotonic() - start)
            work.append(time.process_time() - before)
            found += len(names & set(wanted))
        size = (Path(folder) / "x.sqlite").stat().st_size
        index.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    middle = _QUERIES // 2
    print(
        f"query: median {sorted(times)[middle] * 1000:.0f} ms, of which the processor worked "
        f"{sorted(work)[middle] * 1000:.0f} ms"
    )
    print(f"recall@{_NEAREST}: {found / _QUERIES / _NEAREST:.1%}")
    print(f"file {size / 1e6:.0f} MB, memory of the process at most {memory:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    given = parser.parse_args()
    main(given.count, given.dim)

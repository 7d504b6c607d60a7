"""The kept features: the nearest are the exact ones."""

import pytest
import torch
from torch.nn import functional as F

from guidegen.zero_shot.search import index as module
from guidegen.zero_shot.search.index import Index, State


def vectors(count, dim=16, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=rng), dim=1)


def fill(path, rows):
    index = Index(path, rows.shape[1], "d")
    index.add({f"{i:05}": (State(1, i), row) for i, row in enumerate(rows)})
    return index


def test_the_nearest_of_many_chunks_are_the_exact_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 32)
    rows = vectors(100)
    index = fill(tmp_path / "x.sqlite", rows)
    index.remove([f"{i:05}" for i in range(0, 100, 3)])
    index.add({"new": (State(1, 1), rows[0])})
    query = vectors(1, seed=1)[0]
    left = [i for i in range(100) if i % 3]
    exact = sorted(
        [(float(rows[i] @ query), f"{i:05}") for i in left] + [(float(rows[0] @ query), "new")]
    )
    found = index.nearest(query, 10)
    assert [path for path, _ in found] == [path for _, path in exact[::-1][:10]]
    assert [value for _, value in found] == pytest.approx(
        [v for v, _ in exact[::-1][:10]], abs=2e-3
    )
    assert len(index.nearest(query, 1000)) == len(index) == 67


def test_an_index_of_another_model_is_emptied_and_never_mixed(tmp_path):
    fill(tmp_path / "x.sqlite", vectors(40)).close()
    other = Index(tmp_path / "x.sqlite", 16, "of another model")
    assert len(other) == 0
    assert other.states() == {}
    assert other.nearest(vectors(1)[0], 5) == []

"""Pictures that look alike, in groups."""

from torch.nn import functional as F

from guidegen.zero_shot.search.duplicates import duplicates
from tests.unit.zero_shot.search.test_index import fill, vectors


def test_pictures_that_are_alike_are_grouped(tmp_path):
    rows = vectors(6)
    rows[3] = rows[0]
    rows[5] = F.normalize(rows[1] + 0.01 * rows[2], dim=0)
    groups = duplicates(fill(tmp_path / "x.sqlite", rows), threshold=0.99)
    assert [[path for path, _ in group] for group in groups] == [
        ["00000", "00003"],
        ["00001", "00005"],
    ]

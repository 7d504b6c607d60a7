"""Pictures of an index that look alike."""

from collections.abc import Callable

from guidegen.zero_shot.search.index import Index

# Features that are compared with all others at once.
_ROWS = 1024


def duplicates(
    index: Index,
    *,
    threshold: float = 0.97,
    progress: Callable[[int, int], object] | None = None,
) -> list[list[tuple[str, float]]]:
    """Groups of pictures that look alike.

    Each picture is compared with each: 14,000 take seconds, a million take hours.

    Args:
        index: up to date.
        threshold: cosine from which two are alike; likeness is passed on within a group.
        progress: told (done, total) after each part.

    Returns:
        Groups of (path, cosine to the first of the group), the largest first.
    """
    paths, vectors = index.vectors()
    leader = list(range(len(paths)))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    for start in range(0, len(paths), _ROWS):
        part = vectors[start : start + _ROWS].float()
        for after in range(start, len(paths), _ROWS):
            similar = part @ vectors[after : after + _ROWS].float().T
            for a, b in (similar >= threshold).nonzero().tolist():
                one, two = sorted((find(start + a), find(after + b)))
                leader[two] = one
        if progress is not None:
            progress(min(start + _ROWS, len(paths)), len(paths))
    groups: dict[int, list[int]] = {}
    for row in range(len(paths)):
        groups.setdefault(find(row), []).append(row)
    alike = sorted((rows for rows in groups.values() if len(rows) > 1), key=len, reverse=True)
    return [
        [(paths[row], float(vectors[row].float() @ vectors[rows[0]].float())) for row in rows]
        for rows in alike
    ]

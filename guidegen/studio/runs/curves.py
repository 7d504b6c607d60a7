"""The losses of a run over its steps, as its `steps.jsonl` has them."""

from contextlib import suppress
from pathlib import Path

from guidegen.utils.parse import parse_json, read_text

_POINTS = 600


def losses(folder: Path) -> list[list[float]]:
    """[step, total loss] of a run, at most some hundred of them; lines that can't be read lack."""
    try:
        lines = read_text(folder / "steps.jsonl").splitlines()
    except (OSError, ValueError):
        return []
    found: list[list[float]] = []
    for line in lines[:: max(1, -(-len(lines) // _POINTS))]:
        with suppress(ValueError, KeyError, TypeError):
            data = parse_json(line)
            found.append([int(data["step"]), float(data["losses"]["total"])])
    return found

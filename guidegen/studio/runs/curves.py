"""What a run's `steps.jsonl` says over its steps: losses, and scores that were looked at."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from guidegen.utils.parse import parse_json, read_text

_POINTS = 600
Points = list[list[float]]


def curves(folder: Path) -> dict[str, Any]:
    """The total loss and each score of a run; lines that can't be read lack.

    Returns:
        {"loss": [[step, value], ...], "scores": {name: [[step, value], ...]}}, at most 600 points
        each. Scores are similarities, like a judge's, at the steps at which it looked.
    """
    loss: Points = []
    scores: dict[str, Points] = {}
    try:
        lines = read_text(folder / "steps.jsonl").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            data = parse_json(line)
            step = int(data["step"])
            for name, value in data.get("scores", {}).items():
                if value is not None:
                    scores.setdefault(name, []).append([step, float(value)])
            loss.append([step, float(data["losses"]["total"])])
    return {"loss": _thinned(loss), "scores": {name: _thinned(of) for name, of in scores.items()}}


def _thinned(points: Points) -> Points:
    return points[:: max(1, -(-len(points) // _POINTS))]

"""A run to start from: `RUN`, or `RUN@STEP`. Torch-free."""

import re
from pathlib import Path
from typing import Any

from guidegen.utils.parse import parse_json, read_text

_STEP = re.compile(r"(.+)@(\d{1,9})")
# Small: it holds no more than settings and figures.
_MANIFEST = "run.json"


def parse_init_run(text: str) -> tuple[Path, int | None]:
    """The run directory and the step; None is the last that it recorded.

    >>> parse_init_run("outputs/a-red-apple-0-12345678@40")[1]
    40
    """
    match = _STEP.fullmatch(text)
    return (Path(match[1]), int(match[2])) if match else (Path(text), None)


def by_content(text: str) -> list[Any]:
    """What decides the latents: the run's own digest, wherever it lies, and the step."""
    path, step = parse_init_run(text)
    try:
        return [parse_json(read_text(path / _MANIFEST))["digest"], step]
    except (OSError, ValueError, KeyError, TypeError):
        return [text]

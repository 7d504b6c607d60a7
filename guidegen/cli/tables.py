"""What the commands that look at pictures print: a table for people, CSV or JSON for programs."""

import csv
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.errors import ConfigError

Json = Annotated[bool, Parameter(name="--json", help="Print JSON, one object a line.")]
Csv = Annotated[bool, Parameter(name="--csv", help="Print CSV.")]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps [default: auto].")]
Model = Annotated[
    str, Parameter(name="--perceptor", help="CLIP as NAME/TAG, local-dir:PATH or embedded.")
]
Template = Annotated[
    str, Parameter(help="Words around each text: 'a photo of {}', or 'imagenet' for 80 averaged.")
]
IgnoreText = Annotated[
    bool,
    Parameter(
        name="--ignore-text",
        help="Paint over words written on the pictures, so that they don't count as what is "
        "shown; needs guidegen[ocr].",
    ),
]

_GAP = 2


def check_format(*, as_json: bool, as_csv: bool) -> None:
    """Refuse two formats at once.

    Raises:
        ConfigError: both are asked for.
    """
    if as_json and as_csv:
        raise ConfigError("--json and --csv are two formats; choose one")


def print_json(row: Mapping[str, Any]) -> None:
    """Print one object on a line of its own."""
    print(json.dumps(row, ensure_ascii=False, default=str), flush=True)


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with the same keys as CSV, with a head."""
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell; the first is cut at its front if need be."""
    if not rows:
        return
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    room = shutil.get_terminal_size((100, 24)).columns - sum(widths[1:]) - _GAP * len(head)
    if sys.stdout.isatty() and widths[0] > max(20, room):
        widths[0] = max(20, room)
    for line in lines:
        first = line[0]
        if len(first) > widths[0]:
            first = "…" + first[1 - widths[0] :]
        cells = [first, *line[1:]]
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print((" " * _GAP).join(padded).rstrip())


def cell(value: object) -> str:
    """A value as a table shows it."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def note(text: str) -> None:
    """Tell people something beside the result."""
    print(text, file=sys.stderr, flush=True)

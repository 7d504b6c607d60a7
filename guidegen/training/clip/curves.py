"""A plot and a table of what `robust` wrote to curves.jsonl: right answers against steps."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from guidegen.errors import DataError

# key of a line, what it is called, colour
_CURVES = (
    ("val-top1", "val top-1", "#1f77b4"),
    ("val_concept-top5", "val_concept top-5", "#2ca02c"),
    ("adversarial-top1", "val top-1 under attack", "#d62728"),
)
_SIZE, _LEFT, _TOP, _RIGHT, _BOTTOM = (720, 400), 56, 16, 170, 40


def plot(curves: Path) -> Image.Image:
    """The curves as a picture of 720x400 px; the vertical axis goes from 0 to 100 %.

    Args:
        curves: file of JSON lines, each with "step" and shares in [0, 1].

    Raises:
        DataError: it can't be read, or has fewer than two lines.
    """
    lines = _read(curves)
    last = max(line["step"] for line in lines)
    image = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)

    def point(step: float, share: float) -> tuple[float, float]:
        return (
            _LEFT + (_SIZE[0] - _LEFT - _RIGHT) * step / last,
            _SIZE[1] - _BOTTOM - (_SIZE[1] - _TOP - _BOTTOM) * share,
        )

    for tenth in range(0, 11, 2):
        start, end = point(0, tenth / 10), point(last, tenth / 10)
        draw.line((start, end), fill="#dddddd")
        draw.text((start[0] - 6, start[1]), f"{tenth * 10} %", "black", font, anchor="rm")
    for quarter in range(5):
        x, y = point(last * quarter / 4, 0)
        draw.text((x, y + 8), f"{last * quarter / 4:g}", "black", font, anchor="ma")
    for row, (key, name, colour) in enumerate(_CURVES):
        points = [point(line["step"], line[key]) for line in lines if key in line]
        draw.line(points, fill=colour, width=3, joint="curve")
        draw.text((_SIZE[0] - _RIGHT + 12, _TOP + 20 * row), name, colour, font)
    draw.text((point(last / 2, 0)[0], _SIZE[1] - 14), "steps", "black", font, anchor="mm")
    return image


def table(curves: Path) -> str:
    """The same as rows of a Markdown table: step, size, eps and the three shares.

    Raises:
        DataError: as `plot`.
    """
    rows = [("step", "size", "eps", *(name for _, name, _ in _CURVES)), ("---",) * 6]
    for line in _read(curves):
        shares = [f"{line[key]:.1%}" if key in line else "" for key, _, _ in _CURVES]
        about = (f"{line[key]:g}" if key in line else "" for key in ("step", "size", "eps"))
        rows.append((*about, *shares))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _read(path: Path) -> list[dict[str, float]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        by_step = {int(line["step"]): line for line in lines}  # a run that went on repeats some
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no curves of a training run ({error})") from None
    if len(by_step) < 2:
        raise DataError(f"{path}: a plot takes at least two evaluations, not {len(by_step)}")
    return [by_step[step] for step in sorted(by_step)]

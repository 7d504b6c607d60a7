"""Pictures in rows and columns, each of which says what is the same along it."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from guidegen.errors import InputImageError
from guidegen.media.decode import decode

_GAP = 6
_FONT = 15
_LINE = 20
_LEFT = 150
# Lines of a label; longer ones end with dots.
_LINES = 3
MAX_SIDE = 512


def labelled_grid(
    pictures: Sequence[Sequence[Path | None]],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    side: int = 256,
) -> Image.Image:
    """A sheet of pictures under the labels of their columns, beside those of their rows.

    Args:
        pictures: row by row; None, or a file that can't be read, leaves its place grey.
        columns: a label each.
        rows: a label each; all empty takes no room.
        side: of one picture's square in pixels.

    Returns:
        RGB.
    """
    font = ImageFont.load_default(_FONT)
    left = _LEFT if any(rows) else 0
    top = _LINES * _LINE + _GAP if any(columns) else 0
    step = side + _GAP
    sheet = Image.new("RGB", (left + step * len(columns), top + step * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(columns):
        above = (left + number * step + side / 2, top - _GAP)
        draw.multiline_text(above, _wrapped(label, side), "black", font, "md", align="center")
    for number, label in enumerate(rows):
        beside = (left - 2 * _GAP, top + number * step + side / 2)
        draw.multiline_text(beside, _wrapped(label, _LEFT), "black", font, "rm", align="right")
    for row, line in enumerate(pictures):
        for column, path in enumerate(line):
            small = _small(path, side)
            x, y = left + column * step, top + row * step
            sheet.paste(small, (x + (side - small.width) // 2, y + (side - small.height) // 2))
    return sheet


def _wrapped(label: str, width: int) -> str:
    lines = textwrap.wrap(label, max(6, width * 2 // _FONT - 2), max_lines=_LINES, placeholder="…")
    return "\n".join(lines).encode("utf-8", "replace").decode("utf-8")


def _small(path: Path | None, side: int) -> Image.Image:
    if path is not None:
        try:
            small = decode(path, "picture")
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            return small
        except InputImageError:
            pass
    return Image.new("RGB", (side, side), "#dddddd")

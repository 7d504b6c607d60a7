"""Many small pictures with their words on one sheet."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_LABEL = 34
_GAP = 4
_FONT = 13


def contact_sheet(
    pictures: Sequence[tuple[Path | Image.Image, str]], *, columns: int = 8, side: int = 192
) -> Image.Image:
    """Put pictures into a grid, row by row, each over the first words of its label.

    Args:
        pictures: (file or picture, label); a file that can't be read leaves its place grey.
        columns: most in a row.
        side: of one picture's square in pixels.

    Returns:
        RGB.
    """
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    sheet = Image.new("RGB", (columns * side, rows * (side + _LABEL)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT)
    for place, (picture, label) in enumerate(pictures):
        x, y = place % columns * side, place // columns * (side + _LABEL)
        small = _small(picture, side - _GAP)
        sheet.paste(small, (x + (side - small.width) // 2, y + (side - small.height) // 2))
        lines = textwrap.wrap(label, side * 2 // _FONT - 1)[:2]
        text = "\n".join(lines).encode("utf-8", "replace").decode("utf-8")
        draw.multiline_text((x + side / 2, y + side), text, "black", font, "ma", align="center")
    return sheet


def _small(picture: Path | Image.Image, side: int) -> Image.Image:
    try:
        if isinstance(picture, Path):
            with Image.open(picture) as image:
                small = image.convert("RGB")
        else:
            small = picture.convert("RGB")
    except OSError:
        return Image.new("RGB", (side, side), "grey")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small

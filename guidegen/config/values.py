"""Values of settings: texts, sizes and pairs of numbers."""

import math
import os

MAX_TEXT = 10_000  # characters of a prompt


def check_text(what: str, text: str) -> None:
    """Refuse what no file format can hold: NUL, and bytes of a shell word that were not UTF-8."""
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"{what} has {len(text):,} characters; at most {MAX_TEXT:,} are taken, and CLIP reads "
            "some 300"
        )
    if "\0" in text:
        raise ValueError(f"{what} holds a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError(f"{what} is not valid UTF-8")


def as_text(value: object) -> object:
    """A path or seed given from Python, as the grammar writes it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value).replace(":", "\\:")
    return str(value) if type(value) is int else value


def height_width(size: str) -> tuple[int, int]:
    """A size that was checked, 512 or 640x384, as (height, width) in pixels."""
    width, _, height = size.partition("x")
    return int(height or width), int(width)


def pair(text: str) -> tuple[float, float]:
    """Two numbers with a comma between them; (nan, nan) where it is none."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return math.nan, math.nan
    return low, high

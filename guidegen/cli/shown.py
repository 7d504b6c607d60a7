"""How a picture was made, as lines that can't be mistaken for others.

The file says it, and anybody may have written the file: no text of it begins a line, moves the
cursor or is wrapped by the terminal into a line of its own.
"""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any
from unicodedata import east_asian_width

from guidegen.utils.text import printable

_NAME = 15  # columns of the names, and what lines that go on are set in by
_LONGEST = 2000  # characters of a value


def lines(data: Mapping[str, Any], *, width: int | None) -> Iterator[str]:
    """A line for every setting, then the scores and what else is known.

    Args:
        data: "config", "scores" and others, as `guidegen show --json` prints them.
        width: columns of the terminal; None where nothing wraps.
    """
    settings = data["config"]
    rest = {name: value for name, value in data.items() if name not in ("config", "scores")}
    scores = {name: f"{value:.4g}" for name, value in data.get("scores", {}).items()}
    for name, value in {**settings, "scores": scores, **rest}.items():
        if value not in (None, "", [], (), {}):
            text = f"{name:<{_NAME - 1}} {_value(value)}".rstrip()
            yield from [text] if width is None else _wrapped(text, width)


def _wrapped(text: str, width: int) -> list[str]:
    wide = any(east_asian_width(char) in "WF" for char in text)
    return textwrap.wrap(
        text,
        max(2 * _NAME, (width - 1) // (2 if wide else 1)),
        subsequent_indent=" " * _NAME,
        break_on_hyphens=False,
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        text = ", ".join(f"{name} {_short(str(part))}" for name, part in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(str(part) for part in value)
    else:
        text = str(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... ({len(text):,} characters; --json shows all)"
    return printable(text)


def _short(text: str) -> str:
    """A SHA-256 is told by its first digits."""
    return text[:12] if len(text) == 64 else text

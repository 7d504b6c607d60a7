"""What a training picture is called: its caption, said in one of several ways."""

from __future__ import annotations

import random
import re

from guidegen.training.dataset import Record
from guidegen.training.scenes import COLOUR_NAMES

TEMPLATES = (
    "a photo of {}", "a picture of {}", "a drawing of {}", "an image of {}",
    "an illustration of {}", "a close-up of {}", "one {}",
    "a photo of a small {}", "a photo of a large {}",
)  # fmt: skip
# Mirroring these would show something else, or writing in reverse.
_DIRECTED = re.compile(
    r"\b(left|right|clock|clockwise|flag|keycap|button|letter|number|symbol|sign|arrow|"
    r"o'clock|thirty|alphabet|pointing|text|\w*\d\w*)\b"
)
_COUNTED = re.compile(r"\b(two|three|and|pair|couple|\w+s)\b")


def may_mirror(record: Record) -> bool:
    """Whether the caption still fits the mirrored picture."""
    return not _DIRECTED.search(record.caption.lower())


def article(noun: str) -> str:
    """`noun` with its indefinite article, by its first letter."""
    return ("an " if noun[:1] in "aeiou" else "a ") + noun


def colour_of(record: Record) -> str | None:
    """The one colour that most of the picture has, unless its caption names colours itself."""
    caption = record.caption.split()
    if not record.colors or any(name in caption for name in (*COLOUR_NAMES, "grey")):
        return None
    name, share = record.colors[0]
    return name if share >= 0.5 else None


def one(record: Record, background: str | None, rng: random.Random) -> str:
    """A caption of one cut-out.

    Args:
        record: what the cut-out shows.
        background: name of the plain background's colour; None where it is not plain.
        rng: chooses the way of saying it.
    """
    caption = record.caption.lower()
    dice = rng.random()
    if dice < 0.1 and record.keywords:
        return ", ".join(rng.sample(record.keywords, min(len(record.keywords), rng.randint(1, 3))))
    if dice < 0.18 and record.style:
        return f"{article(record.style)} of {article(caption)}"
    if dice < 0.28 and (colour := colour_of(record)):
        caption = f"{colour} {caption}"
        return article(caption) if rng.random() < 0.5 else caption
    if dice < 0.40 and background:
        return f"{article(caption)} on a {background} background"
    if dice < 0.50:
        return rng.choice(TEMPLATES).format(caption)
    return article(caption) if dice < 0.6 else caption


def two(first: Record, second: Record, vertical: bool, rng: random.Random) -> str:
    """A caption of two cut-outs: side by side, or the first above the second."""
    a, b = first.caption.lower(), second.caption.lower()
    if first.concept == second.concept:
        return f"two {a}" if _COUNTED.search(a) else f"two {a}s"
    if rng.random() < 0.6:
        a, b = article(a), article(b)
    if rng.random() < 0.4:
        return f"{a} and {b}"
    if vertical:
        return f"{a} above {b}" if rng.random() < 0.5 else f"{b} below {a}"
    return f"{a} next to {b}"

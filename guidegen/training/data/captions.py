"""What a training picture is called: its caption, said in one of several ways."""

from __future__ import annotations

import random
import re

from guidegen.training.data.dataset import Record
from guidegen.training.data.scenes import COLOUR_NAMES

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
_ORDER = re.compile(r" (above|below) ")
_COLOURS = "|".join(COLOUR_NAMES)
_BACKGROUND = re.compile(rf"(?<= on )(an? )({_COLOURS})(?= background$)")
_NAMES_COLOUR = re.compile(rf"\b({_COLOURS}|grey|golden|silver|flag|rainbow|skin tone)\b")
_FIRST_COLOUR = re.compile(rf"^(an? )?({_COLOURS})(?= )")
_COUNTED = re.compile(r"\b(two|three|and|pair|couple|\w+s)\b")


def may_mirror(record: Record) -> bool:
    """Whether the caption still fits the mirrored picture."""
    return not _DIRECTED.search(record.caption.lower())


def article(noun: str) -> str:
    """`noun` with its indefinite article, by its first letter."""
    return ("an " if noun[:1] in "aeiou" else "a ") + noun


def colour_of(record: Record) -> str | None:
    """The one colour that most of the picture has, unless its caption names colours itself."""
    if not record.colors or not may_tint(record):
        return None
    name, share = record.colors[0]
    return name if share >= 0.5 else None


def may_tint(record: Record) -> bool:
    """Whether the picture, in one other colour, can be called by that colour and its caption."""
    return not _NAMES_COLOUR.search(record.caption.lower())


def one(
    record: Record, background: str | None, rng: random.Random, *, tint: str | None = None
) -> str:
    """A caption of one cut-out.

    Args:
        record: what the cut-out shows.
        background: name of the plain background's colour; None where it is not plain.
        rng: chooses the way of saying it.
        tint: the colour that it was given, which the caption then names.
    """
    caption = record.caption.lower()
    if background == "white" and rng.random() < 0.85:
        background = None  # so common that naming it would say nothing about the picture
    if tint:
        caption = f"{tint} {caption}"
        if background and rng.random() < 0.5:
            return f"{article(caption)} on {article(background)} background"
        return article(caption) if rng.random() < 0.6 else caption
    dice = rng.random()
    if dice < 0.1 and record.keywords:
        return ", ".join(rng.sample(record.keywords, min(len(record.keywords), rng.randint(1, 3))))
    if dice < 0.18 and record.style:
        return f"{article(record.style)} of {article(caption)}"
    if dice < 0.28 and (colour := colour_of(record)):
        caption = f"{colour} {caption}"
        return article(caption) if rng.random() < 0.5 else caption
    if dice < 0.60 and background:
        return f"{article(caption)} on {article(background)} background"
    if dice < 0.68:
        return rng.choice(TEMPLATES).format(caption)
    return article(caption) if dice < 0.78 else caption


def contradict(text: str, rng: random.Random) -> str | None:
    """The text with one thing wrong: a colour, or what is above what. None where it has neither.

    Without such texts a model learns which things are there, and not how (Yuksekgonul et al. 2023).
    """
    wrong = []
    if match := _ORDER.search(text):
        other = "below" if match[1] == "above" else "above"
        wrong.append(text[: match.start(1)] + other + text[match.end(1) :])
    for match in (_BACKGROUND.search(text), _FIRST_COLOUR.search(text)):
        if match:
            other = rng.choice([name for name in COLOUR_NAMES if name != match[2]])
            other = article(other) if match[1] else other
            wrong.append(text[: match.start()] + other + text[match.end() :])
    return rng.choice(wrong) if wrong else None


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

"""Prompts of parts of the picture as the user writes them. Torch-free."""

import math
from dataclasses import dataclass
from pathlib import Path

from guidegen.errors import ConfigError
from guidegen.prompt.loss_terms import LossTerm, parse_loss_term

# LEFT, TOP, RIGHT, BOTTOM in parts of the picture.
Box = tuple[float, float, float, float]
NAMES: dict[str, Box] = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
    "middle": (0.25, 0.25, 0.75, 0.75),
    "top-left": (0.0, 0.0, 0.5, 0.5),
    "top-right": (0.5, 0.0, 1.0, 0.5),
    "bottom-left": (0.0, 0.5, 0.5, 1.0),
    "bottom-right": (0.5, 0.5, 1.0, 1.0),
}
_SMALLEST = 0.05


@dataclass(frozen=True)
class Region:
    """What to show in a part of the picture.

    Attributes:
        text: a prompt, with weights and parts as any.
        box: where; None if a mask says so.
        mask: path of a picture that is white there; None if a box says so.
        schedule: weight, and when it counts.
    """

    text: str
    box: Box | None
    mask: Path | None
    schedule: LossTerm


def parse_region(text: str, number: int = 1) -> Region:
    """Read `PROMPT=PLACE`, `PROMPT=PLACE:WEIGHT` or `PROMPT=PLACE:WEIGHT:FROM:TO`.

    >>> parse_region("a red apple=left:2").box
    (0.0, 0.0, 0.5, 1.0)

    Args:
        text: a PLACE is a name, a box LEFT,TOP,RIGHT,BOTTOM in parts of the picture, or the path of
            a mask.
        number: of the region, from 1; its term of the loss is called by it.

    Raises:
        ConfigError: it is written otherwise, or the box can't be.
    """
    prompt, equals, rest = text.rpartition("=")
    if not (equals and prompt.strip() and rest.strip()):
        raise ConfigError(
            f"{text!r} is not PROMPT=PLACE, like 'a red apple=left' or 'a fox=0.5,0.5,1,1'"
        )
    parts = rest.strip().split(":")
    numbers: list[str] = []
    while len(parts) > 1 and len(numbers) < 3 and _number(parts[-1]) is not None:
        numbers.insert(0, parts.pop())
    if len(numbers) == 2:
        raise ConfigError(f"after the place of {text!r} comes WEIGHT or WEIGHT:FROM:TO")
    name = f"region-{number}"
    schedule = parse_loss_term(f"{name}={':'.join(numbers) or '1'}")
    place = ":".join(parts).strip()
    box = NAMES.get(place.lower().replace("center", "middle").replace("centre", "middle"))
    if box is None:
        box = _box(place, text)
    if box is None and not Path(place).suffix:
        raise ConfigError(
            f"no place is called {place!r}; there are {', '.join(NAMES)}, boxes "
            "LEFT,TOP,RIGHT,BOTTOM from 0 to 1, and paths of masks"
        )
    return Region(prompt.strip(), box, None if box else Path(place), schedule)


def _box(place: str, text: str) -> Box | None:
    """The box that a place means; None where it means something else."""
    sides = [_number(part) for part in place.split(",")]
    if len(sides) < 2 or any(side is None for side in sides):
        return None
    found = [side for side in sides if side is not None]
    if len(found) == 4:
        left, top, right, bottom = found
        inside = 0 <= left < right <= 1 and 0 <= top < bottom <= 1
        if inside and min(right - left, bottom - top) >= _SMALLEST:
            return left, top, right, bottom
    raise ConfigError(
        f"the box of {text!r} must be LEFT,TOP,RIGHT,BOTTOM in parts of the picture, from 0 to 1 "
        f"and at least {_SMALLEST} a side"
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

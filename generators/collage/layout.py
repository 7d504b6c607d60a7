"""How the collage draws a start: which patches, where, how large, on which backdrop."""

import math
from collections.abc import Callable, Sequence

import torch

from generators.collage.backdrops import DYES, HORIZON, draw_backdrop
from generators.collage.things import Thing, below, choose_things, signed
from guidegen.interfaces import Latents, Phrase, Preference

EMPTY = -1  # of a slot without a patch
# Where things stand, down the picture from -1 to 1.
_FOOT = 0.78  # of what stands in front
_FAR_FOOT = 0.4  # of surroundings
_HIGH = -0.56  # middle of what is in the sky
_FLOATS = frozenset({"air", "clouds", "heaven", "heavens", "ocean", "sea", "sky", "space", "water"})

Spot = tuple[float, float, float]  # x, y and side, in units of half the shorter side and of it


def lay_out(
    rng: torch.Generator,
    preference: Preference | None,
    *,
    groups: Sequence[str],
    shape: Callable[[int], tuple[float, float]],
    wears: Callable[[int, str], bool],
    slots: int,
    aspect: float,
) -> Latents:
    """One picture's latents, on the CPU, as `Collage` describes them.

    Args:
        rng: the candidate's own.
        preference: what the prompt asks for; None draws one patch evenly.
        groups: [V] where each patch belongs (see `Entry.group`).
        shape: half extents of a patch's drawing in its square.
        wears: whether a patch is of a basic colour already.
        slots: S.
        aspect: width over height of the canvas.
    """
    things = choose_things(rng, preference, groups, slots)
    colours, land = draw_backdrop(
        rng,
        preference,
        inside=any(thing.behind for thing in things),
        alone=len(things) == 1,
    )
    row: Latents = {
        "place": torch.zeros(slots, 2),
        "scale": torch.full((slots,), -1.0),
        "angle": torch.zeros(slots),
        "tint": torch.zeros(slots, 3),
        "dye": torch.full((slots,), -3.0),
        "backdrop": torch.tensor(colours),
        "land": torch.tensor(int(land)),
        "pinned": torch.tensor(int(preference is not None and bool(preference.backdrop))),
        "patch": torch.full((slots,), EMPTY, dtype=torch.long),
        "phrase": torch.zeros(slots, dtype=torch.long),
        "behind": torch.zeros(slots, dtype=torch.long),
    }
    spots = _spots(rng, things, groups, shape, aspect)
    # painted from the back: what fills the canvas, then the sky's things, then surroundings; and
    # what something stands on before that
    painted = sorted(
        zip(things, spots, strict=True),
        key=lambda each: (
            depth(groups[each[0].patch], behind=each[0].behind),
            each[0].phrase.relation != "below",
        ),
    )
    for slot, (thing, (x, y, side)) in enumerate(painted):
        row["patch"][slot], row["phrase"][slot] = thing.patch, thing.number
        row["behind"][slot] = int(thing.behind)
        row["place"][slot] = torch.tensor([x, y])
        row["scale"][slot] = math.log(side)
        if groups[thing.patch] != "scene" and not thing.behind:
            row["angle"][slot] = 0.1 * signed(rng)
        colour = thing.phrase.colour
        if colour and not wears(thing.patch, colour):
            row["tint"][slot] = torch.tensor(DYES[colour])
            row["dye"][slot] = 2.0
    return row


def depth(group: str, *, behind: bool) -> int:
    """How near a patch of a group is; 0 is furthest away, and painted first."""
    if group in ("scene", "sky"):
        return int(group == "sky")
    return 2 if behind else 3


def _spots(
    rng: torch.Generator,
    things: list[Thing],
    groups: Sequence[str],
    shape: Callable[[int], tuple[float, float]],
    aspect: float,
) -> list[Spot]:
    """Where each thing stands.

    Surroundings stand behind, across the whole width; of the others a thing's own place (sky) and
    the prompt's relations (above, below) say how high it is. Things of one height share the width.
    """
    wide, high = max(aspect, 1.0), max(1 / aspect, 1.0)
    spots: dict[int, Spot] = {}
    behind = [i for i, thing in enumerate(things) if thing.behind]
    front = [
        i for i, thing in enumerate(things) if not thing.behind and groups[thing.patch] != "scene"
    ]
    shapes = [shape(thing.patch) for thing in things]
    spots |= _behind(rng, behind, [groups[t.patch] == "ground" for t in things], shapes, wide, high)
    if len(things) == 1 and front:
        x, y = 0.08 * signed(rng) * wide, 0.08 * signed(rng) * high
        spots[front[0]] = (x, y, 0.8 + 0.08 * signed(rng))
    elif front:
        floating = any(_floats(thing.phrase) for thing in things)
        levels = _levels([things[i].phrase for i in front])
        sky = [groups[things[i].patch] == "sky" for i in front]
        levels = [-1 if up else level for up, level in zip(sky, levels, strict=True)]
        for level in sorted(set(levels)):
            row = [i for i, at in zip(front, levels, strict=True) if at == level]
            share = _share(level, set(levels), crowded=bool(behind))
            middle = _middle(level, set(levels))
            if middle is None and floating:
                middle = 0.12 if -1 in levels else -0.1
            elif middle is None and len(set(levels)) == 1 and len(front) == len(things):
                middle = 0.05
            kinds = {things[i].number for i in row}
            full = 1.2 if len(kinds) == 1 and things[row[0]].phrase.count > 2 else 0.94
            spots |= _row(rng, row, shapes, wide, high, full, share, middle)
    # scenes: `Collage.constrain_` sets their side
    return [spots.get(i, (0.0, 0.0, 1.0)) for i in range(len(things))]


def _floats(phrase: Phrase) -> bool:
    """Whether what is there stands on no ground."""
    return phrase.place and phrase.text.lower().split()[-1] in _FLOATS


def _share(level: int, levels: set[int], *, crowded: bool) -> float:
    """Largest height of a thing, in parts of the picture's."""
    if len(levels) == 1:
        return 0.55 if level == -1 else 0.62 if crowded else 0.72
    if level == -1 and levels != {-1, 1}:
        return 0.45
    return 0.58 if level == 1 else 0.55


def _middle(level: int, levels: set[int]) -> float | None:
    """Middle of a row, from -1 to 1; None where its things stand on the ground."""
    if level == -1:
        return _HIGH
    if level == 0 and 1 in levels:
        return -0.28  # on top of what stands below
    return None


def _row(
    rng: torch.Generator,
    row: list[int],
    shapes: list[tuple[float, float]],
    wide: float,
    high: float,
    full: float,
    share: float,
    middle: float | None,
) -> dict[int, Spot]:
    """Things beside each other, as large as the width lets them be.

    `full` is what part of it they may take; many of a kind may overlap a little.
    """
    width = sum(shapes[i][0] for i in row)
    side = min(full * wide / width, share * high / max(shapes[i][1] for i in row))
    free = 2 * 0.97 * wide - 2 * side * width
    gap = free / (len(row) + 1) if free > 0 else free / (len(row) - 1)
    spots: dict[int, Spot] = {}
    left = -0.97 * wide + max(gap, 0.0)
    # one thing alone stands anywhere near the middle
    slip = 0.5 * gap * signed(rng) if len(row) == 1 else 0.0
    for i in row[:: 1 if below(rng, 2) else -1]:
        half_x = side * shapes[i][0]
        own = side * (1 - 0.12 * float(torch.rand((), generator=rng)))
        foot = _FOOT * high + 0.06 * signed(rng)
        y = foot - own * shapes[i][1] if middle is None else middle * high + 0.05 * signed(rng)
        spots[i] = (left + half_x + slip, y, own)
        left += 2 * half_x + gap
    return spots


def _behind(
    rng: torch.Generator,
    row: list[int],
    ground: list[bool],
    shapes: list[tuple[float, float]],
    wide: float,
    high: float,
) -> dict[int, Spot]:
    """Surroundings: they stand at the horizon, across the whole width; ground fills it."""
    spots: dict[int, Spot] = {}
    for place, i in enumerate(row):
        across = (2 * place + 1) / len(row) - 1
        if ground[i]:
            side = 1.15 * wide / shapes[i][0] / len(row) ** 0.75
            foot = (_FAR_FOOT + 0.15) * high
        else:
            side = min(0.7 * high / shapes[i][1], 0.75 * wide / shapes[i][0])
            side *= 1 + 0.15 * signed(rng)
            across = across if len(row) > 1 else 0.45 * (1 if below(rng, 2) else -1)
            foot = (_FAR_FOOT + 0.08 * signed(rng)) * high
        x = (across + 0.06 * signed(rng)) * wide * 0.95
        spots[i] = (x, max(foot, HORIZON) - side * shapes[i][1], side)
    return spots


def _levels(phrases: Sequence[Phrase]) -> list[int]:
    """-1 for the upper, 0 for the middle, 1 for the lower part, as the relations ask.

    "A under B" puts B above what came before it; "A on B" puts B below.
    """
    levels = [0] * len(phrases)
    for i, phrase in enumerate(phrases):
        if i and phrase != phrases[i - 1]:
            if phrase.relation == "above":
                levels[i:] = [-1] * (len(phrases) - i)
            elif phrase.relation == "below":
                levels[i:] = [1] * (len(phrases) - i)
            else:
                levels[i:] = [levels[i - 1] if levels[i - 1] == 0 else 0] * (len(phrases) - i)
    return levels

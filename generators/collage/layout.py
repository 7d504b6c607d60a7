"""How the collage draws a start: which patches, where, how large, on which backdrop."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from guidegen.interfaces import Latents, Phrase, Preference

_TOP = 6  # patches of each phrase that are drawn from
EMPTY = -1  # of a slot without a patch


def _logit(*rgb: int) -> list[float]:
    return [math.log(p / (1 - p)) for p in (min(max(c / 255, 0.02), 0.98) for c in rgb)]


# Top and bottom colours: day, haze, dusk, night, meadow, sea, paper, and plain colours.
BACKDROPS = [
    [_logit(*top), _logit(*bottom)]
    for top, bottom in [
        ((120, 190, 245), (225, 243, 255)),
        ((135, 200, 250), (130, 190, 95)),
        ((110, 190, 250), (40, 110, 190)),
        ((250, 190, 110), (235, 110, 80)),
        ((60, 40, 110), (235, 130, 100)),
        ((12, 16, 50), (45, 55, 110)),
        ((8, 8, 24), (24, 24, 48)),
        ((250, 247, 238), (238, 230, 214)),
        ((255, 255, 255), (240, 243, 247)),
        ((215, 240, 220), (150, 205, 150)),
        ((255, 225, 235), (250, 190, 210)),
        ((205, 210, 220), (150, 158, 172)),
        ((240, 220, 170), (222, 184, 120)),
        ((60, 120, 225), (45, 95, 205)),
        ((250, 215, 60), (245, 195, 35)),
        ((70, 165, 80), (45, 130, 60)),
        ((40, 12, 10), (150, 40, 15)),
    ]
]

_NIGHT = [_logit(12, 16, 50), _logit(45, 55, 110)]

# What a drawing is dyed in where the prompt names a colour that it has not.
DYES = {
    name: _logit(*rgb)
    for name, rgb in {
        "red": (215, 35, 35), "orange": (245, 130, 30), "yellow": (250, 210, 40),
        "green": (50, 165, 65), "blue": (50, 110, 225), "purple": (135, 65, 190),
        "pink": (245, 130, 180), "brown": (130, 85, 50), "black": (35, 35, 38),
        "gray": (135, 140, 146), "white": (248, 248, 248),
    }.items()
}  # fmt: skip


def lay_out(
    rng: torch.Generator,
    preference: Preference | None,
    *,
    groups: Sequence[str],
    wears: Callable[[int, str], bool],
    slots: int,
    aspect: float,
) -> Latents:
    """One picture's latents, on the CPU, as `Collage` describes them.

    Args:
        rng: the candidate's own.
        preference: what the prompt asks for; None draws one patch evenly.
        groups: [V] where each patch belongs (see `Entry.group`).
        wears: whether a patch is of a basic colour already.
        slots: S.
        aspect: width over height of the canvas.
    """
    things = _things(rng, preference, groups, slots)
    # painted from the back: what fills the canvas, then the ground, then the sky's things
    things.sort(key=lambda thing: ("scene", "ground", "sky", "object").index(groups[thing.patch]))
    row: Latents = {
        "place": torch.zeros(slots, 2),
        "scale": torch.full((slots,), -1.0),
        "angle": torch.zeros(slots),
        "tint": torch.zeros(slots, 3),
        "dye": torch.full((slots,), -3.0),
        "backdrop": torch.tensor(_backdrop(rng, preference)),
        "pinned": torch.tensor(int(preference is not None and bool(preference.backdrop))),
        "patch": torch.full((slots,), EMPTY, dtype=torch.long),
        "phrase": torch.zeros(slots, dtype=torch.long),
    }
    scenes = [thing for thing in things if groups[thing.patch] == "scene"]
    objects = [thing for thing in things if groups[thing.patch] != "scene"]
    spots = _spots(rng, objects, groups, aspect)
    for slot, (thing, (x, y, side)) in enumerate(
        # a scene's side is set by `Collage.constrain_`
        zip([*scenes, *objects], [(0.0, 0.0, 1.0)] * len(scenes) + spots, strict=True)
    ):
        row["patch"][slot], row["phrase"][slot] = thing.patch, thing.number
        row["place"][slot] = torch.tensor([x, y])
        row["scale"][slot] = math.log(side)
        if slot >= len(scenes):
            row["angle"][slot] = 0.1 * _signed(rng)
        colour = thing.phrase.colour
        if colour and not wears(thing.patch, colour):
            row["tint"][slot] = torch.tensor(DYES[colour])
            row["dye"][slot] = 2.0
    return row


def _backdrop(rng: torch.Generator, preference: Preference | None) -> list[list[float]]:
    """The colour that the prompt asks for, a little lighter at the top; or any."""
    drawn = BACKDROPS[_below(rng, len(BACKDROPS))]
    if preference is None or not preference.backdrop:
        return drawn
    if preference.backdrop == "night":
        return _NIGHT
    colour = DYES[preference.backdrop]
    return [[logit + 0.4 for logit in colour], colour]


def _below(rng: torch.Generator, n: int) -> int:
    return int(torch.randint(0, n, (1,), generator=rng))


def _signed(rng: torch.Generator) -> float:
    return 2 * float(torch.rand((), generator=rng)) - 1


@dataclass(frozen=True)
class _Thing:
    """A patch to paint, and the phrase (by number) that it stands for."""

    patch: int
    number: int
    phrase: Phrase


def _things(
    rng: torch.Generator, preference: Preference | None, groups: Sequence[str], slots: int
) -> list[_Thing]:
    """Everything to paint; at most `slots`, at most one scene."""
    if preference is None:
        return [_Thing(_below(rng, len(groups)), 0, Phrase(""))]
    scene = torch.tensor([group == "scene" for group in groups])
    alone = len(preference.phrases) == 1
    things: list[_Thing] = []
    has_scene = False
    for number, phrase in enumerate(preference.phrases):
        scores = preference.scores[number].clone()
        # surroundings may fill the canvas, and so may a prompt that is nothing but a scene
        if has_scene or not (phrase.place or alone or phrase.relation == "below"):
            scores[scene] = -torch.inf
        elif phrase.place and _below(rng, 2) and bool((scores[scene] > 2.5).any()):
            scores[~scene] = -torch.inf
        best = scores.topk(min(_TOP, int(scores.isfinite().sum())))
        weights = torch.softmax(best.values * 2.0, 0)
        same = bool(_below(rng, 2))
        patch = -1
        for copy in range(phrase.count):
            if copy == 0 or not same:
                patch = int(best.indices[torch.multinomial(weights, 1, generator=rng)])
            if scene[patch] and has_scene:
                continue
            has_scene |= bool(scene[patch])
            things.append(_Thing(patch, number, phrase))
    return things[:slots]


def _spots(
    rng: torch.Generator, things: list[_Thing], groups: Sequence[str], aspect: float
) -> list[tuple[float, float, float]]:
    """(x, y, side) of each thing, in units of the shorter side.

    A thing's own place (sky, ground) and the prompt's relations (above, below) say in which third
    of the picture it stands; the things of one third share its width.
    """
    wide, high = max(aspect, 1.0), max(1 / aspect, 1.0)
    if len(things) == 1:
        return [(0.08 * _signed(rng) * wide, 0.08 * _signed(rng) * high, 0.8 + 0.08 * _signed(rng))]
    levels = _levels([thing.phrase for thing in things])
    for i, thing in enumerate(things):
        if groups[thing.patch] == "sky":
            levels[i] = -1
        elif groups[thing.patch] == "ground":
            levels[i] = 1
    occupied = sorted(set(levels))
    heights = {
        level: 0.9 * ((2 * n + 1) / len(occupied) - 1) if len(occupied) > 1 else 0.0
        for n, level in enumerate(occupied)
    }
    mirror = 1 if _below(rng, 2) else -1
    spots = []
    for i, thing in enumerate(things):
        row = [j for j, level in enumerate(levels) if level == levels[i]]
        across = ((2 * row.index(i) + 1) / len(row) - 1) * 0.95 * wide * mirror
        side = min(0.98 * wide / len(row), 1.15 * high / len(occupied), 0.72)
        if groups[thing.patch] == "ground":
            side *= 1.35
        if len(row) == 1:
            across = 0.3 * _signed(rng) * wide
        spots.append(
            (
                across + 0.05 * _signed(rng),
                heights[levels[i]] * high + 0.05 * _signed(rng),
                max(side, 0.28) * (1 + 0.1 * _signed(rng)),
            )
        )
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

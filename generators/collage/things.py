"""What a collage shows: which drawings stand for the phrases of a prompt, and how many of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidegen.interfaces import Phrase, Preference

# Of each phrase at most so many drawings are drawn from, none scored further below the best.
# Of 61 things a second CLIP knew 55 by the best drawing on paper, 45 by any of those within 1.5.
_TOP, _WITHIN = 6, 0.5
# What no drawing shows well is said by so many of those that come nearest.
_SURE, _TOGETHER = 8.9, 2
_SCENE_WITHIN = 1.5  # scenes as surroundings: they show all of them


@dataclass(frozen=True)
class Thing:
    """A patch to paint, and the phrase (by number) that it stands for.

    Attributes:
        patch: index into the atlas.
        number: of the phrase.
        phrase: what it stands for.
        behind: it is of the surroundings, and what is in them hides a part of it.
    """

    patch: int
    number: int
    phrase: Phrase
    behind: bool = False


def choose_things(
    rng: torch.Generator, preference: Preference | None, groups: Sequence[str], slots: int
) -> list[Thing]:
    """Everything to paint; at most `slots`, at most one scene."""
    drawn = torch.tensor([group != "backdrop" for group in groups])
    if preference is None:
        patches = drawn.nonzero().flatten().tolist()
        return [Thing(patches[below(rng, len(patches))], 0, Phrase(""))]
    scene = torch.tensor([group == "scene" for group in groups])
    chosen: list[list[Thing]] = []
    has_scene = False
    for number, phrase in enumerate(preference.phrases):
        scores = preference.scores[number].clone()
        scores[~drawn] = -torch.inf
        # surroundings may fill the canvas, and so may a prompt that is nothing but a scene
        if has_scene or not (phrase.place or len(preference.phrases) == 1):
            scores[scene] = -torch.inf
        elif phrase.place and below(rng, 2) and _has_good(scores, scene):
            scores[~scene] = -torch.inf
        alone = len(preference.phrases) == 1 and phrase.count == 1
        if alone and float(scores[~scene].max()) < _SURE:
            copies = _association(rng, scores.masked_fill(scene, -torch.inf), phrase, number)
        else:
            copies = _copies(rng, scores, phrase, number, groups)
        has_scene = has_scene or any(scene[thing.patch] for thing in copies)
        chosen.append(copies)
    things = _fit(chosen, slots)
    # a mountain alone is what the picture is about
    return [replace(things[0], behind=False)] if len(things) == 1 else things


def _has_good(scores: Tensor, scene: Tensor) -> bool:
    """Whether a scene fits a place nearly as well as the best drawing."""
    return bool(scores[scene].max() > scores.max() - _SCENE_WITHIN)


def _copies(
    rng: torch.Generator, scores: Tensor, phrase: Phrase, number: int, groups: Sequence[str]
) -> list[Thing]:
    """The drawings of one phrase: all the same or each drawn by itself; a scene alone."""
    best = scores.topk(min(_TOP, int(scores.isfinite().sum())))
    near = best.values > best.values[0] - _WITHIN
    weights = torch.softmax(best.values[near] * 2.0, 0)
    same = bool(below(rng, 2))
    patch, things = -1, list[Thing]()
    for copy in range(phrase.count):
        if copy == 0 or not same:
            patch = int(best.indices[torch.multinomial(weights, 1, generator=rng)])
        if groups[patch] == "scene":
            return [Thing(patch, number, phrase)]
        behind = groups[patch] == "ground" or (phrase.place and groups[patch] != "sky")
        things.append(Thing(patch, number, phrase, behind))
    return things


def _association(rng: torch.Generator, scores: Tensor, phrase: Phrase, number: int) -> list[Thing]:
    """Different drawings that together say what none of them does: a mood, say."""
    best = scores.topk(min(_TOP, int(scores.isfinite().sum())))
    order = torch.softmax(best.values * 2.0, 0).multinomial(
        min(_TOGETHER, len(best.values)), generator=rng
    )
    return [Thing(int(best.indices[i]), number, phrase) for i in order]


def _fit(chosen: list[list[Thing]], slots: int) -> list[Thing]:
    """As many copies of each as fit; of the most there is left out first."""
    chosen = [list(copies) for copies in chosen]
    while sum(map(len, chosen)) > slots:
        max(reversed(chosen), key=len).pop()
    return [thing for copies in chosen for thing in copies]


def below(rng: torch.Generator, n: int) -> int:
    """An integer from 0 to n − 1."""
    return int(torch.randint(0, n, (1,), generator=rng))


def signed(rng: torch.Generator) -> float:
    """A number from −1 to 1."""
    return 2 * float(torch.rand((), generator=rng)) - 1

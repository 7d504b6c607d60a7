"""Texts that a predictor learns from, and the drawings that they tell of.

A caption is said in one of several ways, of one drawing or of two, with a colour or a background at
times, as the CLIP's own training has them. Each text's drawing lies on paper as a painter would
place it: in the middle, or two side by side or above each other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidegen.training.data import captions, scenes
from guidegen.training.data.dataset import Record

_PAIRED, _TINTED, _COLOURED = 0.15, 0.12, 0.2


@dataclass(frozen=True)
class Told:
    """One text.

    Attributes:
        text: the caption.
        first: number of the record that it tells of.
        second: number of the other record; -1 where there is one thing.
        upright: whether the first of two is above the second, and not left of it.
        tint: number of the colour that the thing was given; -1 for its own.
        background: number of the paper's colour; 0 is white.
    """

    text: str
    first: int
    second: int
    upright: bool
    tint: int
    background: int


def make_texts(records: Sequence[Record], count: int, *, seed: int) -> list[Told]:
    """Make up texts; each concept is as frequent as any other.

    Args:
        records: what there are captions of.
        count: how many texts.
        seed: of everything random.
    """
    rng = random.Random(seed)
    members: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        members.setdefault(record.concept, []).append(number)
    concepts = list(members)
    order: list[str] = []
    while len(order) < count:
        order += rng.sample(concepts, len(concepts))
    return [_one(records, members, concept, concepts, rng) for concept in order[:count]]


def _one(
    records: Sequence[Record],
    members: dict[str, list[int]],
    concept: str,
    concepts: list[str],
    rng: random.Random,
) -> Told:
    first = rng.choice(members[concept])
    if rng.random() < _PAIRED:
        second = rng.choice(members[rng.choice(concepts)])
        upright = rng.random() < 0.4
        text = captions.two(records[first], records[second], upright, rng)
        return Told(text, first, second, upright, -1, 0)
    tint = background = -1
    if rng.random() < _TINTED and captions.may_tint(records[first]):
        tint = rng.randrange(1, len(scenes.COLOUR_NAMES))
    background = rng.randrange(1, len(scenes.COLOUR_NAMES)) if rng.random() < _COLOURED else 0
    names = scenes.COLOUR_NAMES
    text = captions.one(
        records[first],
        names[background] if background else None,
        rng,
        tint=names[tint] if tint >= 0 else None,
    )
    if "background" not in text:
        background = 0
    return Told(text, first, -1, False, tint, background)


class Drawings:
    """The pictures that texts tell of.

    Args:
        cutouts: RGBA uint8 [n, S, S, 4] of all records.
        size: side of the pictures in pixels.
        device: where they are composed.
    """

    def __init__(
        self, cutouts: NDArray[np.uint8], size: int, device: torch.device | str = "cpu"
    ) -> None:
        self.device, self.size = torch.device(device), size
        self.cutouts = torch.from_numpy(cutouts).to(self.device)

    def __call__(self, told: Sequence[Told]) -> Tensor:
        """RGB [n, 3, size, size] in [0, 1]."""
        n, size = len(told), self.size
        first, second, upright, tints, grounds = torch.tensor(
            [(t.first, t.second, t.upright, t.tint, t.background) for t in told],
            device=self.device,
        ).T
        rng = torch.Generator(self.device).manual_seed(0)
        canvas = scenes.plain_backgrounds(grounds, size, rng)
        pairs, upright = second.ge(0), upright.bool()
        layer = self._placed(first, pairs, upright, -0.48)
        tinted = tints.ge(0).nonzero().flatten()
        layer[tinted] = scenes.tint(layer[tinted], tints[tinted])
        canvas = scenes.over(layer, canvas)
        which = pairs.nonzero().flatten()
        if len(which):
            layer = self._placed(second[which], pairs[which], upright[which], 0.48)
            canvas[which] = scenes.over(layer, canvas[which])
        assert canvas.shape == (n, 3, size, size)
        return canvas.clamp(0, 1)

    def _placed(self, rows: Tensor, pairs: Tensor, upright: Tensor, along: float) -> Tensor:
        n, device = len(rows), self.device
        aside = torch.where(pairs, along, 0.0)
        where = scenes.Placement(
            x=torch.where(upright, 0.0, aside),
            y=torch.where(upright, aside, 0.0),
            scale=torch.where(pairs, 0.55, 0.9),
            angle=torch.zeros(n, device=device),
            flip=torch.ones(n, device=device),
        )
        stretch = torch.ones(n, 2, device=device)
        return scenes.place(self.cutouts[rows], where, self.size, stretch)

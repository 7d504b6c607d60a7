"""Batches of training pictures with their texts; batch k follows from the seed and k alone."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidegen.training.data import captions, scenes
from guidegen.training.data.dataset import Record

# Many near-identical drawings: shown less often.
_REPETITIVE = re.compile(r"\b(flag|skin tone)\b")


@dataclass(frozen=True)
class Batch:
    """n pictures.

    images: RGB [n, 3, H, W] in [0, 1].
    texts: n captions.
    wrong: n captions that contradict the picture in one word; None where there is none.
    concepts: int [n, 2], what is in the picture; -1 where there is no second thing.
    """

    images: Tensor
    texts: list[str]
    wrong: list[str | None]
    concepts: Tensor


@dataclass(frozen=True)
class Contents:
    """What n pictures show; those with two things come last. All tensors are int64.

    first: [n], number of the drawing.
    second: [pairs], that of the other one.
    vertical: [pairs], 1 where the first is above the second, 0 where it is left of it.
    tint: [n - pairs], number of the colour that the thing was given; -1 for its own.
    ground: [n], number of the colour of a plain background; -1 where it is not plain.
    """

    first: Tensor
    second: Tensor
    vertical: Tensor
    tint: Tensor
    ground: Tensor

    def chosen(self, single: Tensor, pairs: Tensor) -> Contents:
        """Some pictures with one thing and some with two, each numbered among its like."""
        alone = len(self.first) - len(self.second)
        rows = torch.cat((single, pairs + alone))
        return Contents(
            self.first[rows], self.second[pairs], self.vertical[pairs], self.tint[single],
            self.ground[rows],
        )  # fmt: skip

    def to(self, device: torch.device) -> Contents:
        """The same on another device."""
        return Contents(*(getattr(self, field.name).to(device) for field in fields(self)))


class SceneBatches:
    """Draws training batches from cut-outs held in memory.

    Args:
        cutouts: RGBA uint8 [n, S, S, 4].
        records: n records.
        seed: of everything random.
        pairs: share of pictures that show two things.
        tinted: share of the others whose thing is given a colour.
        device: where the cut-outs are kept and pictures are composed.
    """

    def __init__(
        self,
        cutouts: NDArray[np.uint8],
        records: Sequence[Record],
        *,
        seed: int,
        pairs: float = 0.2,
        tinted: float = 0.15,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.cutouts = torch.from_numpy(cutouts).to(self.device)
        self.records = records
        self.seed, self.pairs, self.tinted = seed, pairs, tinted
        names = list(dict.fromkeys(r.concept for r in records))
        number = {name: i for i, name in enumerate(names)}
        self.concepts = torch.tensor([number[r.concept] for r in records], device=self.device)
        self.numbers = self.concepts.tolist()
        members: list[list[int]] = [[] for _ in names]
        for row, concept in enumerate(self.numbers):
            members[concept].append(row)
        self.members = members
        self.bank = [records[m[0]].caption.lower() for m in self.members]
        """One caption for each concept."""
        opaque = (cutouts[:, ::8, ::8, 3] > 250).all((1, 2))
        self.opaque = torch.from_numpy(opaque).to(self.device)
        self.mirror = torch.tensor([captions.may_mirror(r) for r in records], device=self.device)
        self.tintable = torch.tensor([captions.may_tint(r) for r in records])
        counts = Counter(self.numbers)
        self.weights = torch.tensor(
            [
                counts[c] ** -0.5 * (0.5 if _REPETITIVE.search(r.caption) else 1.0)
                for r, c in zip(records, self.numbers, strict=True)
            ]
        )
        self.near_weights = self.weights.to(self.device)

    def batch(self, step: int, n: int, size: int, device: torch.device) -> Batch:
        """The `step`-th batch: `n` pictures of `size` pixels."""
        rng = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        words = random.Random(self.seed * 1_000_003 + step)
        contents = self.contents(n, words)
        texts = self.texts(contents, words)
        wrong = [captions.contradict(text, words) for text in texts]
        contents = contents.to(self.device)
        images = self.compose(contents, size, rng).to(device)
        return Batch(images, texts, wrong, self.things(contents).to(device))

    def contents(self, n: int, words: random.Random) -> Contents:
        """What `n` pictures show, drawn at random."""
        rng = torch.Generator().manual_seed(words.getrandbits(60))
        paired = int(n * self.pairs)
        single = n - paired
        drawn = torch.multinomial(self.weights, n + paired, replacement=True, generator=rng)
        first, second = drawn[:n], drawn[n:]
        for i in range(0, paired, 5):  # every fifth pair is two drawings of the same thing
            second[i] = words.choice(self.members[self.numbers[int(first[single + i])]])
        kind = torch.rand(n, generator=rng)
        ground = torch.randint(1, len(scenes.COLOUR_NAMES), (n,), generator=rng)
        ground[kind < 0.3] = 0
        ground[kind > 0.6] = -1
        vertical = (torch.rand(paired, generator=rng) < 0.5).long()
        return Contents(first, second, vertical, self._tints(first[:single], rng), ground)

    def texts(self, contents: Contents, words: random.Random) -> list[str]:
        """Captions of pictures, one each."""
        names = [*scenes.COLOUR_NAMES, None]  # the last for -1
        tints = contents.tint.tolist()
        first, grounds = contents.first.tolist(), contents.ground.tolist()
        return [
            captions.one(self.records[r], names[ground], words, tint=names[tint])
            for r, ground, tint in zip(first, grounds, tints, strict=False)
        ] + [
            captions.two(self.records[a], self.records[b], bool(v), words)
            for a, b, v in zip(
                first[len(tints) :], contents.second.tolist(), contents.vertical.tolist(),
                strict=True,
            )
        ]  # fmt: skip

    def things(self, contents: Contents) -> Tensor:
        """Int [n, 2], the concepts that pictures show; -1 where there is no second one."""
        single = len(contents.tint)
        out = torch.full((len(contents.first), 2), -1, device=contents.first.device)
        out[:, 0] = self.concepts.to(out.device)[contents.first]
        out[single:, 1] = self.concepts.to(out.device)[contents.second]
        return out

    def compose(self, contents: Contents, size: int, rng: torch.Generator) -> Tensor:
        """Pictures, RGB [n, 3, size, size] in [0, 1].

        Args:
            contents: what they show, on our device.
            size: side in pixels.
            rng: of everything else, on our device.
        """
        single, paired = len(contents.tint), len(contents.second)
        canvas = self._backgrounds(contents.ground, size, rng)
        alone = contents.first[:single]
        where = scenes.random_placement(self.mirror[alone], self.opaque[alone], rng)
        layer = self._draw(alone, where, size, rng)
        tinted = contents.tint.ge(0).nonzero().flatten()
        layer[tinted] = scenes.tint(layer[tinted], contents.tint[tinted])
        canvas[:single] = scenes.over(layer, canvas[:single])
        if paired:
            both = torch.cat((contents.first[single:], contents.second))
            where = scenes.pair_placement(contents.vertical.bool(), self.mirror[both], rng)
            layers = self._draw(both, where, size, rng)
            scene = scenes.over(layers[:paired], canvas[single:])
            canvas[single:] = scenes.over(layers[paired:], scene)
        return scenes.finish(canvas, rng)

    def _tints(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Colours to give to some cut-outs, as indices of names; -1 leaves one as it is."""
        colour = torch.randint(0, len(scenes.COLOUR_NAMES), (len(rows),), generator=rng)
        chosen = (torch.rand(len(rows), generator=rng) < self.tinted) & self.tintable[rows]
        return torch.where(chosen, colour, -1)

    def _draw(
        self, rows: Tensor, where: scenes.Placement, size: int, rng: torch.Generator
    ) -> Tensor:
        stretch = scenes.uniform((len(rows), 2), 0.85, 1.15, rng)
        return scenes.place(self.cutouts[rows], where, size, stretch)

    def _backgrounds(self, ground: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Plain ones where a colour says so; else busy, or another cut-out seen from very near."""
        canvas = scenes.plain_backgrounds(ground.clamp(min=0), size, rng)
        busy = ground.lt(0).nonzero().flatten()
        canvas[busy] = scenes.busy_backgrounds(len(busy), size, rng)
        near = busy[scenes.uniform((len(busy),), 0, 1, rng) < 0.25]
        if len(near):
            rows = torch.multinomial(self.near_weights, len(near), replacement=True, generator=rng)
            layers = self._draw(rows, scenes.near_placement(len(near), rng), size, rng)
            canvas[near] = scenes.over(layers, canvas[near])
        return canvas

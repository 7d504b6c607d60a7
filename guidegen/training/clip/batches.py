"""Batches of training pictures with their texts; batch k follows from the seed and k alone."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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


class SceneBatches:
    """Draws training batches from cut-outs held in memory.

    Args:
        cutouts: RGBA uint8 [n, S, S, 4].
        records: n records.
        seed: of everything random.
        pairs: share of pictures that show two things.
        tinted: share of the others whose thing is given a colour.
    """

    def __init__(
        self,
        cutouts: NDArray[np.uint8],
        records: Sequence[Record],
        *,
        seed: int,
        pairs: float = 0.2,
        tinted: float = 0.15,
    ) -> None:
        self.cutouts = torch.from_numpy(cutouts)
        self.records = records
        self.seed, self.pairs, self.tinted = seed, pairs, tinted
        names = list(dict.fromkeys(r.concept for r in records))
        number = {name: i for i, name in enumerate(names)}
        self.concepts = torch.tensor([number[r.concept] for r in records])
        self.members = [self.concepts.eq(i).nonzero().flatten().tolist() for i in range(len(names))]
        self.bank = [records[m[0]].caption.lower() for m in self.members]
        """One caption for each concept."""
        self.opaque = torch.from_numpy((cutouts[:, ::8, ::8, 3] > 250).all((1, 2)))
        self.mirror = torch.tensor([captions.may_mirror(r) for r in records])
        self.tintable = torch.tensor([captions.may_tint(r) for r in records])
        counts = Counter(self.concepts.tolist())
        self.weights = torch.tensor(
            [
                counts[c] ** -0.5 * (0.5 if _REPETITIVE.search(r.caption) else 1.0)
                for r, c in zip(records, self.concepts.tolist(), strict=True)
            ]
        )

    def batch(self, step: int, n: int, size: int, device: torch.device) -> Batch:
        """The `step`-th batch: `n` pictures of `size` pixels."""
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        words = random.Random(self.seed * 1_000_003 + step)
        paired = int(n * self.pairs)
        single = n - paired
        drawn = torch.multinomial(self.weights, n + paired, replacement=True, generator=rng)
        first, second = drawn[:n], drawn[n:]
        for i in range(0, paired, 5):  # every fifth pair is two drawings of the same thing
            second[i] = words.choice(self.members[int(self.concepts[first[single + i]])])
        vertical = torch.rand(paired, generator=rng) < 0.5

        canvas, colour_names = self._backgrounds(n, size, rng, device)
        fill = self.opaque[first[:single]]
        where = scenes.random_placement(self.mirror[first[:single]], fill, rng)
        layer = self._draw(first[:single], where, size, rng, device)
        tints = self._tints(first[:single], rng)
        tinted = tints.ge(0).nonzero().flatten()
        layer[tinted] = scenes.tint(layer[tinted], tints[tinted])
        canvas[:single] = scenes.over(layer, canvas[:single])
        if paired:
            both = torch.cat((first[single:], second))
            where = scenes.pair_placement(vertical, self.mirror[both], rng)
            layers = self._draw(both, where, size, rng, device)
            scene = scenes.over(layers[:paired], canvas[single:])
            canvas[single:] = scenes.over(layers[paired:], scene)

        texts = [
            captions.one(
                self.records[r], name, words, tint=scenes.COLOUR_NAMES[c] if c >= 0 else None
            )
            for r, name, c in zip(
                first[:single].tolist(), colour_names[:single], tints.tolist(), strict=True
            )
        ] + [
            captions.two(self.records[a], self.records[b], v, words)
            for a, b, v in zip(
                first[single:].tolist(), second.tolist(), vertical.tolist(), strict=True
            )
        ]
        concepts = torch.full((n, 2), -1)
        concepts[:, 0] = self.concepts[first]
        concepts[single:, 1] = self.concepts[second]
        wrong = [captions.contradict(text, words) for text in texts]
        return Batch(scenes.finish(canvas, rng), texts, wrong, concepts.to(device))

    def _tints(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Colours to give to some cut-outs, as indices of names; -1 leaves one as it is."""
        colour = torch.randint(0, len(scenes.COLOUR_NAMES), (len(rows),), generator=rng)
        chosen = (torch.rand(len(rows), generator=rng) < self.tinted) & self.tintable[rows]
        return torch.where(chosen, colour, -1)

    def _draw(
        self,
        rows: Tensor,
        where: scenes.Placement,
        size: int,
        rng: torch.Generator,
        device: torch.device,
    ) -> Tensor:
        stretch = scenes.uniform((len(rows), 2), 0.85, 1.15, rng)
        return scenes.place(self.cutouts[rows].to(device), where, size, stretch)

    def _backgrounds(
        self, n: int, size: int, rng: torch.Generator, device: torch.device
    ) -> tuple[Tensor, list[str | None]]:
        """White, plain, busy, or another cut-out seen from very near; and the plain ones' names."""
        kind = torch.rand(n, generator=rng)
        colour = torch.randint(1, len(scenes.COLOUR_NAMES), (n,), generator=rng)
        colour[kind < 0.3] = 0
        canvas = scenes.plain_backgrounds(colour, size, rng).to(device)
        busy = (kind > 0.6).nonzero().flatten()
        canvas[busy] = scenes.busy_backgrounds(len(busy), size, rng).to(device)
        near = (kind > 0.9).nonzero().flatten()
        if len(near):
            rows = torch.multinomial(self.weights, len(near), replacement=True, generator=rng)
            layers = self._draw(rows, scenes.near_placement(len(near), rng), size, rng, device)
            canvas[near] = scenes.over(layers, canvas[near])
        plain = (kind <= 0.6).tolist()
        names = [scenes.COLOUR_NAMES[c] if p else None for c, p in zip(colour, plain, strict=True)]
        return canvas, names

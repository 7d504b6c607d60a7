"""How well pictures find their captions: retrieval among 256 captions of distinct concepts.

`val` holds unseen drawings of concepts that occur in `train`; `val_concept` holds concepts that do
not. One item is a drawing of each concept, drawn at random; where a split has fewer than 256
concepts, captions of concepts of `train` fill up. Figures are means over several fixed draws.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidegen.training.data import scenes
from guidegen.training.data.dataset import CaptionedImages, Record

WAYS = 256
DRAWS = 5


@dataclass(frozen=True)
class Retrieval:
    """Shares in [0, 1] of pictures whose own caption is the nearest (or among the five nearest)."""

    split: str
    top1: float
    top5: float
    items: int
    ways: int

    def __str__(self) -> str:
        return (
            f"{self.split}: top-1 {self.top1:.1%}, top-5 {self.top5:.1%} "
            f"(about {self.items} pictures, {self.ways} captions, {DRAWS} draws)"
        )


def eligible(records: Sequence[Record], split: str) -> list[Record]:
    """The records a split is tested on: for `val`, those whose concept occurs in `train`."""
    chosen = [r for r in records if r.split == split]
    if split == "val":
        known = {r.concept for r in records if r.split == "train"}
        chosen = [r for r in chosen if r.concept in known]
    return chosen


def draw(
    records: Sequence[Record], fill: Sequence[Record], seed: int, ways: int = WAYS
) -> tuple[list[int], list[str]]:
    """One draw of pictures with distinct concepts and captions.

    Returns:
        At most `ways` positions in `records`, and the captions to tell apart: those of the
        pictures, in order, then others from `fill`.
    """
    rng = random.Random(seed)
    order = rng.sample(range(len(records)), len(records))
    rest = rng.sample(range(len(fill)), len(fill))
    concepts: set[str] = set()
    captions: dict[str, None] = {}
    positions: list[int] = []
    for record, position in [(records[i], i) for i in order] + [(fill[i], -1) for i in rest]:
        caption = record.caption.lower()
        if len(captions) < ways and record.concept not in concepts and caption not in captions:
            concepts.add(record.concept)
            captions[caption] = None
            if position >= 0:
                positions.append(position)
    return positions, list(captions)


def side_of(model: Any) -> int:
    """Side in pixels of the square pictures that a model's image tower takes."""
    size = model.visual.image_size
    return int(size[0] if isinstance(size, tuple) else size)


@torch.inference_mode()
def encode_cutouts(model: Any, cutouts: NDArray[np.uint8], *, batch: int = 128) -> Tensor:
    """Unit-norm features [n, d] of RGBA cut-outs [n, S, S, 4], each on white."""
    device = next(model.parameters()).device
    side = side_of(model)
    mean = torch.tensor(model.visual.preprocess_cfg["mean"], device=device).view(3, 1, 1)
    std = torch.tensor(model.visual.preprocess_cfg["std"], device=device).view(3, 1, 1)
    parts = []
    for i in range(0, len(cutouts), batch):
        pictures = scenes.on_white(torch.from_numpy(cutouts[i : i + batch]).to(device), side)
        parts.append(model.encode_image((pictures - mean) / std, normalize=True))
    return torch.cat(parts).float()


@torch.inference_mode()
def encode_texts(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int = 256) -> Tensor:
    """Unit-norm features [n, d]."""
    device = next(model.parameters()).device
    parts = [
        model.encode_text(tokenizer(list(texts[i : i + batch])).to(device), normalize=True)
        for i in range(0, len(texts), batch)
    ]
    return torch.cat(parts).float()


def retrieval(
    images: Tensor,
    texts: dict[str, Tensor],
    records: Sequence[Record],
    fill: Sequence[Record],
    split: str,
) -> Retrieval:
    """Mean retrieval over the fixed draws.

    Args:
        images: unit-norm features of `records`, in their order.
        texts: unit-norm feature of every caption.
        records: the pictures' records.
        fill: records that lend captions where `records` has too few concepts.
        split: name of the result.
    """
    found = []
    for seed in range(DRAWS):
        positions, captions = draw(records, fill, seed)
        bank = torch.stack([texts[c] for c in captions])
        scores = images[positions] @ bank.T
        own = scores.diagonal().unsqueeze(1)  # captions of the pictures come first
        found.append(((scores > own).sum(dim=1), len(captions)))
    return mean_retrieval(split, found)


def mean_retrieval(split: str, draws: Sequence[tuple[Tensor, int]]) -> Retrieval:
    """Mean over draws.

    Args:
        split: name of the result.
        draws: for each, how many captions are nearer to a picture than its own, int [n], and among
            how many they were.
    """
    top1 = top5 = 0.0
    for rank, _ in draws:
        top1 += float((rank < 1).float().mean()) / len(draws)
        top5 += float((rank < 5).float().mean()) / len(draws)
    rank, ways = draws[-1]
    return Retrieval(split, top1, top5, len(rank), ways)


class Evaluator:
    """Loads the pictures once; scores any model.

    Args:
        data: all splits.
        sample: how many pictures of `train` to score, too.
    """

    def __init__(self, data: CaptionedImages, *, sample: int = 256, size: int = 128) -> None:
        records = data.records
        train = [r for r in records if r.split == "train"]
        self.fill = train
        self.parts: dict[str, tuple[list[Record], NDArray[np.uint8]]] = {}
        for split in ("val", "val_concept", "train"):
            chosen = eligible(records, split)
            if split == "train":
                chosen = random.Random(0).sample(chosen, min(sample, len(chosen)))
            if len(chosen) >= 2:
                self.parts[split] = (chosen, data.images(size, chosen))

    def __call__(self, model: Any, tokenizer: Any) -> list[Retrieval]:
        """Scores of a model in evaluation mode, one for each split that the data has."""
        captions = list(
            dict.fromkeys(
                caption
                for chosen, _ in self.parts.values()
                for seed in range(DRAWS)
                for caption in draw(chosen, self.fill, seed)[1]
            )
        )
        texts = dict(zip(captions, encode_texts(model, tokenizer, captions), strict=True))
        return [
            retrieval(encode_cutouts(model, cutouts), texts, chosen, self.fill, s)
            for s, (chosen, cutouts) in self.parts.items()
        ]


def describe(scores: Sequence[Retrieval]) -> str:
    """One line a split."""
    return "\n".join(str(s) for s in scores)

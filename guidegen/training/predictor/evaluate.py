"""How well predicted pictures read as texts that the training did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidegen.guidance.starts.predictor import Predictor
from guidegen.interfaces import Generator, Perceptor
from guidegen.training.clip import evaluate as retrieval
from guidegen.training.data.dataset import Record

_TEXTS = 256
_AT_ONCE = 16


@dataclass(frozen=True)
class Score:
    """Figures of one split, of one picture for each text.

    Attributes:
        split: of the captions.
        cosine: CLIP's, of a picture and its text, the mean.
        top1: share of pictures whose own text is the nearest.
        top5: share of pictures whose own text is among the five nearest.
        texts: how many pictures.
        ways: how many texts to choose among.
        apart: root mean square difference of two pictures of one text, in units of [0, 1].
    """

    split: str
    cosine: float
    top1: float
    top5: float
    texts: int
    ways: int
    apart: float

    def __str__(self) -> str:
        return (
            f"{self.split}: cosine {self.cosine:.3f}, top-1 of {self.ways} {self.top1:.1%}, "
            f"top-5 {self.top5:.1%} ({self.texts} captions); two pictures of one differ by "
            f"{self.apart:.3f}"
        )


class Evaluator:
    """Captions of the splits `val` and `val_concept`, encoded once.

    Args:
        records: all splits.
        perceptor: the CLIP.
        generator: draws.
    """

    def __init__(
        self, records: Sequence[Record], perceptor: Perceptor, generator: Generator
    ) -> None:
        self.perceptor, self.generator = perceptor, generator
        fill = [r for r in records if r.split == "train"]
        self.parts: dict[str, tuple[int, Tensor]] = {}
        for split in ("val", "val_concept"):
            chosen = retrieval.eligible(records, split)
            positions, captions = retrieval.draw(chosen, fill, 0, _TEXTS)
            if len(positions) >= 2:
                self.parts[split] = len(positions), perceptor.encode_text(captions)

    @torch.no_grad()
    def __call__(self, predictor: Predictor) -> list[Score]:
        """Figures of a predictor, a line a split; the seed of text k is k."""
        return [self._one(split, n, bank, predictor) for split, (n, bank) in self.parts.items()]

    def _one(self, split: str, n: int, bank: Tensor, predictor: Predictor) -> Score:
        first, second = (self._pictures(bank[:n], predictor, offset) for offset in (0, 10**6))
        features = torch.cat(
            [self.perceptor.encode_image(part) for part in first.split(_AT_ONCE)]
        ).float()
        scores = features @ bank.T
        own = scores.diagonal()[:, None]
        ahead = (scores > own).sum(1)
        apart = (first - second).square().mean((1, 2, 3)).sqrt().mean()
        return Score(
            split, float(own.mean()), float((ahead < 1).float().mean()),
            float((ahead < 5).float().mean()), n, len(bank), float(apart),
        )  # fmt: skip

    def _pictures(self, texts: Tensor, predictor: Predictor, offset: int) -> Tensor:
        rngs = [torch.Generator().manual_seed(offset + k) for k in range(len(texts))]
        return torch.cat(
            [
                self.generator.decode(
                    predictor.starts(self.generator, texts[i : i + _AT_ONCE], own)
                )
                for i in range(0, len(texts), _AT_ONCE)
                for own in (rngs[i : i + _AT_ONCE],)
            ]
        )

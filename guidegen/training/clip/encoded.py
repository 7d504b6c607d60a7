"""Training batches with the features of their texts, encoded one by one or all beforehand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol

import torch
from torch import Tensor

from guidegen.training.clip import model as clip
from guidegen.training.clip.batches import SceneBatches

# Maps token ids [n, context] to unit-norm features [n, d].
Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class EncodedBatch:
    """n pictures.

    images: RGB [n, 3, H, W] in [0, 1].
    text: unit-norm features [n, d] of their captions.
    concepts: int [n, 2], what is in the picture; -1 where there is no second thing.
    """

    images: Tensor
    text: Tensor
    concepts: Tensor


class Batches(Protocol):
    """A source of encoded batches; batch k follows from the source's seed and k alone."""

    source: SceneBatches

    def __call__(self, step: int, n: int, size: int) -> EncodedBatch:
        """The `step`-th batch: `n` pictures of `size` pixels."""


class EncodedBatches:
    """Every batch has captions of its own.

    Args:
        source: of pictures and captions.
        encode: the text tower.
    """

    def __init__(self, source: SceneBatches, encode: Encode) -> None:
        self.source, self.encode = source, encode
        self.tokenizer = clip.new_tokenizer()

    def __call__(self, step: int, n: int, size: int) -> EncodedBatch:
        """The `step`-th batch."""
        batch = self.source.batch(step, n, size, self.source.device)
        tokens = clip.tokenize(self.tokenizer, batch.texts).to(self.source.device)
        return EncodedBatch(batch.images, self.encode(tokens), batch.concepts)


class PreparedBatches:
    """Captions are drawn and encoded once; every batch shows some of them in new pictures.

    For a GPU, which takes pictures faster than Python makes captions. Several batches are composed
    at once.

    Args:
        source: of pictures and captions.
        encode: the text tower.
        texts: how many captions.
        together: batches that are composed at once.
        processes: that tokenize.
    """

    def __init__(
        self,
        source: SceneBatches,
        encode: Encode,
        *,
        texts: int,
        together: int = 8,
        processes: int = 1,
    ) -> None:
        self.source, self.together = source, together
        words = random.Random(source.seed)
        contents = source.contents(texts, words)
        tokens = _tokens(source.texts(contents, words), processes)
        parts = [encode(part.to(source.device)).half() for part in tokens.split(1024)]
        self.features = torch.cat(parts)
        self.contents = contents.to(source.device)
        self._held: tuple[tuple[int, int, int], EncodedBatch] | None = None

    def __call__(self, step: int, n: int, size: int) -> EncodedBatch:
        """The `step`-th batch."""
        turn, part = divmod(step, self.together)
        key = (turn, n, size)
        if self._held is None or self._held[0] != key:
            self._held = None  # two of them need not fit
            self._held = key, self._composed(turn, n * self.together, size)
        whole = self._held[1]
        rows = slice(part, None, self.together)  # pictures with two things are the last ones
        return EncodedBatch(whole.images[rows], whole.text[rows], whole.concepts[rows])

    def _composed(self, turn: int, n: int, size: int) -> EncodedBatch:
        source = self.source
        rng = torch.Generator(source.device).manual_seed(source.seed * 1_000_003 + turn)
        pairs = int(n * source.pairs) if len(self.contents.second) else 0
        alone = len(self.contents.tint)

        def drawn(among: int, count: int) -> Tensor:
            return torch.randint(among, (count,), generator=rng, device=rng.device)

        single, paired = drawn(alone, n - pairs), drawn(len(self.contents.second), pairs)
        contents = self.contents.chosen(single, paired)
        text = self.features[torch.cat((single, paired + alone))].float()
        images = source.compose(contents, size, rng)
        return EncodedBatch(images, text, source.things(contents))


def _tokens(texts: Sequence[str], processes: int) -> Tensor:
    """Token ids [n, context], int32."""
    if processes <= 1:
        return clip.tokenize(clip.new_tokenizer(), texts)
    parts = [texts[i : i + 4096] for i in range(0, len(texts), 4096)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return torch.cat([torch.from_numpy(part) for part in pool.map(_part, parts)])


def _part(texts: Sequence[str]) -> object:
    torch.set_num_threads(1)
    return clip.tokenize(clip.new_tokenizer(), texts).numpy()

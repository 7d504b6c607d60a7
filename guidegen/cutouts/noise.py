"""Noise on views: kept while it is little, drawn again where it would fill memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Numbers of one candidate's noise up to which it is kept; 64 MiB.
_KEPT = 2**24


@dataclass(frozen=True)
class Noise:
    """Normal noise on the views of one candidate, a deviation each.

    Attributes:
        deviation: [n, 1, 1, 1].
        kept: [n, 3, S, S] ready to add, or None.
        states: of the generator before each view's noise, where it is not kept.
        size: side S of the views in pixels.
    """

    deviation: Tensor
    kept: Tensor | None
    states: Sequence[Tensor]
    size: int

    def of(self, views: slice) -> Tensor:
        """The noise [m, 3, S, S] of some views."""
        if self.kept is not None:
            return self.kept[views]
        deviations = self.deviation[views]
        drawn = deviations.new_empty(len(deviations), 3, self.size, self.size)
        rng = torch.Generator()
        for one, state in zip(drawn, self.states[views], strict=True):
            rng.set_state(state)
            one.normal_(generator=rng)
        return drawn * deviations


def draw_noise(deviation: Tensor, size: int, rng: torch.Generator) -> Noise:
    """Noise for n views of S pixels a side.

    Args:
        deviation: [n], of each view.
        size: S.
        rng: the candidate's own; leaves it where the noise ends.
    """
    deviation = deviation.view(-1, 1, 1, 1)
    n = len(deviation)
    if n * 3 * size * size <= _KEPT:
        return Noise(deviation, deviation * torch.randn(n, 3, size, size, generator=rng), (), size)
    states, passed = [], torch.empty(3, size, size)
    for _ in range(n):
        states.append(rng.get_state())
        passed.normal_(generator=rng)
    return Noise(deviation, None, states, size)


def noise_of(noises: Sequence[Noise], chunk: slice) -> Tensor:
    """The noise [m, 3, S, S] of a chunk of the views of B candidates, candidate-major."""
    n = len(noises[0].deviation)
    parts = []
    for number, noise in enumerate(noises):
        start, stop = max(chunk.start - number * n, 0), min(chunk.stop - number * n, n)
        if start < stop:
            parts.append(noise.of(slice(start, stop)))
    return torch.cat(parts)

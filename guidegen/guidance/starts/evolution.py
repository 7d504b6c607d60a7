"""A search without gradients: CMA-ES over the latents, around the gradient if that is wanted.

A gradient leads to the bottom of the basin in which a run starts. Evolution strategies sample
basins; with some steps of gradient within each trial (BasinCMA) they compare how deep these are.

Source: Hansen & Ostermeier 2001 and Ros & Hansen 2008 (with a diagonal covariance where there are
many numbers), by the package cmaes; Huh et al. 2020, "Transforming and Projecting Images into
Class-conditional Generative Networks" (arXiv:2005.01703), for BasinCMA.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from guidegen.errors import ConfigError
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.objective import total
from guidegen.guidance.starts.search import draw, losses_of
from guidegen.interfaces import Latents, Preference
from guidegen.ops import floating, joined, rows

if TYPE_CHECKING:
    from cmaes import CMA, SepCMA

# Numbers up to which the whole covariance is learned, and up to which there is any use in it.
_FULL, _MOST = 256, 100_000
# Deviation of the first generation, as a part of that of the generator's own starts.
_SIGMA = 0.5
_STARTS = 8


def evolve(
    evaluator: LossEvaluator,
    latents: Latents,
    *,
    generations: int,
    population: int = 0,
    inner_steps: int = 0,
    lr: float = 0.05,
    preference: Sequence[Preference] | None = None,
) -> Latents:
    """The latents [B, ...] to which each candidate's start evolves.

    All trials of a generation are seen through the same views. A run that is killed meanwhile does
    the same again when it goes on.

    Args:
        evaluator: of all candidates.
        latents: where each begins; not changed. What is no float stays as it is.
        generations: how many.
        population: trials of a generation; 0 is CMA-ES's own rule.
        inner_steps: steps of Adam within each trial.
        lr: their learning rate.
        preference: what the vocabulary should show.

    Raises:
        ConfigError: there are too many numbers for it.
    """
    found = []
    for b in range(len(evaluator.candidates)):
        start = rows(latents, slice(b, b + 1))
        trial = _Trials(evaluator, b, start, inner_steps, lr, preference)
        strategy = trial.strategy(population)
        best = start
        for _ in range(generations):
            best = trial.generation(strategy)
            if strategy.should_stop():
                break
        finalists = joined([start, trial.at(strategy.mean), best])
        winner = int(losses_of(evaluator, b, finalists).argmin())
        found.append(rows(finalists, slice(winner, winner + 1)))
    return joined(found)


class _Trials:
    """Trials around the start of one candidate.

    Their coordinates are distances to the start, in units of the deviation of the generator's own
    starts.
    """

    def __init__(
        self,
        evaluator: LossEvaluator,
        candidate: int,
        start: Latents,
        inner_steps: int,
        lr: float,
        preference: Sequence[Preference] | None,
    ) -> None:
        self.evaluator, self.own = evaluator, range(candidate, candidate + 1)
        self.start, self.inner_steps, self.lr = start, inner_steps, lr
        self.numbers = sum(value.numel() for value in floating(start).values())
        if self.numbers > _MOST:
            raise ConfigError(
                f"{evaluator.generator.info.name} has {self.numbers:,} numbers in its latents; "
                f"CMA-ES is for at most {_MOST:,}",
                field="evolve",
            )
        drawn = draw(evaluator, candidate, _STARTS, preference=preference)
        self.spread = {name: _spread(value) for name, value in floating(drawn).items()}
        self.seed = evaluator.candidates[candidate].rng.initial_seed() % 2**31

    def strategy(self, population: int) -> "CMA | SepCMA":
        """A fresh CMA-ES around the start."""
        from cmaes import CMA, SepCMA  # brings scipy.stats, a quarter of the time to import a run

        kind = CMA if self.numbers <= _FULL else SepCMA
        return kind(
            np.zeros(self.numbers), _SIGMA, seed=self.seed, population_size=population or None
        )

    def generation(self, strategy: "CMA | SepCMA") -> Latents:
        """Try a generation and tell the strategy of it; returns the best of it."""
        cutouts = self.evaluator.sample_cutouts(self.own)
        told, best, lowest = [], self.start, float("inf")
        for _ in range(strategy.population_size):
            place = strategy.ask()
            trial = self._descended(self.at(place), cutouts)
            with torch.no_grad():
                _, losses = self.evaluator.evaluate(trial, cutouts, self.own, backward=False)
            loss = float(total(losses))
            told.append((place, loss))
            if loss < lowest:
                best, lowest = trial, loss
        strategy.tell(told)
        return best

    @torch.no_grad()
    def at(self, place: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> Latents:
        """The latents at a place."""
        away = torch.from_numpy(place).float()
        latents, done = dict(self.start), 0
        for name, value in floating(self.start).items():
            part = away[done : done + value.numel()].view(value.shape).to(value)
            latents[name] = value + self.spread[name] * part
            done += value.numel()
        self.evaluator.generator.constrain_(latents)
        return latents

    def _descended(self, latents: Latents, cutouts: object) -> Latents:
        """The latents after some steps of Adam through the same views."""
        if not self.inner_steps:
            return latents
        own = {
            name: value.clone().requires_grad_(value.is_floating_point())
            for name, value in latents.items()
        }
        optimizer = torch.optim.Adam(floating(own).values(), lr=self.lr)
        for _ in range(self.inner_steps):
            optimizer.zero_grad()
            self.evaluator.evaluate(own, cutouts, self.own, backward=True)  # type: ignore[arg-type]
            optimizer.step()
            with torch.no_grad():
                self.evaluator.generator.constrain_(own)
        return {name: value.detach() for name, value in own.items()}


def _spread(drawn: Tensor) -> float:
    """Deviation of the numbers of starts [n, ...] about their means, or 1 where they are equal."""
    deviation = float((drawn - drawn.mean(0)).float().square().mean().sqrt())
    return deviation if deviation > 1e-6 else 1.0

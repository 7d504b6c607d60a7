"""The loop of every training that takes steps: it saves its state, and goes on from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from guidegen.training import checkpoint
from guidegen.training.progress import running_means

T = TypeVar("T")


class Length(Protocol):
    """How long a training is, in steps, and after how many its state is saved."""

    @property
    def steps(self) -> int:
        """Of the optimiser, in all."""

    @property
    def save_every(self) -> int:
        """Steps between two states on disk."""


class SteppedTraining(ABC):
    """A training whose `_train_step` makes one step.

    Attributes:
        config: its length.
        state_file: where its state is kept.
        step: how many steps are done; a subclass begins with what `checkpoint.resume` says.
    """

    config: Length
    state_file: Path
    step: int

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end; yields what `_train_step` tells of each step."""
        while self.step < self.config.steps:
            losses = self._train_step()
            self.step += 1
            if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                checkpoint.save(self.state_file, self._state(), self.step)
            yield losses

    def scored(
        self, name: str, every: int, score: Callable[[dict[str, float]], list[T]]
    ) -> list[T]:
        """Train to the end on a bar; the last scores.

        Args:
            name: of the bar.
            every: steps between two calls of `score`; it is called after the last in any case.
            score: given the running means of the losses, none where nothing was left to do.
        """
        scores: list[T] = []
        means: dict[str, float] = {}
        total = self.config.steps
        for means in running_means(self.run(), done=self.step, total=total, name=name):
            if self.step % every == 0 or self.step == total:
                scores = score(means)
        return scores or score(means)

    @abstractmethod
    def _train_step(self) -> dict[str, float]:
        """One step of the optimiser; its losses by name."""

    @abstractmethod
    def _state(self) -> Mapping[str, Any]:
        """What is saved, by name; each part has a `state_dict`."""

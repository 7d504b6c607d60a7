"""The loop of every training that takes steps: it saves its state, and goes on from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from guidegen.training import checkpoint
from guidegen.training.pace import Pace
from guidegen.training.progress import Losses, running_means

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
        pace: where it is on its way; a subclass makes it first of all.
        state_file: where its state is kept.
        step: how many steps are done; a subclass begins with what `_resume` says.
    """

    config: Length
    pace: Pace
    state_file: Path
    step: int

    def run(self) -> Iterator[Losses]:
        """Train to the end; yields what `_train_step` tells of each step."""
        self.pace.start(self.step)
        while not self.pace.over:
            losses = self._train_step()
            self.step += 1
            self.pace.tick(self.step)
            if self.pace.due(self.config.save_every):
                checkpoint.save(self.state_file, self._parts(), self.step)
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
        for means in self.followed(name):
            if self.pace.due(every):
                scores = score({key: float(mean) for key, mean in means.items()})
        return scores or score({})

    def followed(self, name: str) -> Iterator[Losses]:
        """Train to the end on a bar; yields the running means of the losses after each step."""
        total = self.config.steps if self.pace.minutes is None else None
        return running_means(self.run(), done=self.step, total=total, name=name)

    def _resume(self) -> int:
        """Go on from the state file; the step to go on from, 0 where there is none."""
        return checkpoint.resume(self.state_file, self._parts())

    def _parts(self) -> Mapping[str, Any]:
        timed = self.pace.minutes is not None
        return {**self._state(), "pace": self.pace} if timed else self._state()

    @abstractmethod
    def _train_step(self) -> Losses:
        """One step of the optimiser; its losses by name, best as tensors where they are."""

    @abstractmethod
    def _state(self) -> Mapping[str, Any]:
        """What is saved, by name; each part has a `state_dict`."""

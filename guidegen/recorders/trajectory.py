"""The latents over time, from which a video can be rendered later at any rate."""

import json

import torch
from safetensors.torch import save
from torch import Tensor

from guidegen.interfaces import Step
from guidegen.recorders import Write

FILE = "trajectory.safetensors"


class Trajectory:
    """Writes `trajectory.safetensors` when closed: each latent of one candidate as [T, ...].

    The file's metadata: "steps", a JSON list of the T step indices; "total", the steps of the run;
    "every". A run that breaks off leaves the trajectory up to there. Where it grows too large for
    memory, every other step is dropped and `every` doubled, as often as it takes.

    Args:
        write: writes a whole file under a name, or nothing.
        row: which candidate.
        every: keeps each n-th step, and the last.
        max_bytes: how large it may grow.
    """

    def __init__(
        self, write: Write, *, row: int = 0, every: int = 1, max_bytes: int = 2**28
    ) -> None:
        if every < 1:
            raise ValueError(f"every {every} steps is not possible; it starts at 1")
        self.write = write
        self.row = row
        self.every = every
        self.max_bytes = max_bytes
        self._steps: list[int] = []
        self._total = 0
        self._latents: dict[str, list[Tensor]] = {}
        self._fetched = 0

    def __call__(self, step: Step) -> None:
        """Keep the latents, if it is their turn."""
        if step.index % self.every and step.index != step.total:
            return
        self._steps.append(step.index)
        self._total = step.total
        for name, latent in step.latents.items():
            # A clone, since a view would keep the whole batch in memory.
            self._latents.setdefault(name, []).append(latent[self.row].detach().clone())
        if len(self._steps) - self._fetched >= 32:
            self._fetch()
            self._thin()

    def close(self) -> None:
        """Write the file, if there was any step."""
        if not self._steps:
            return
        self._fetch()
        tensors = {name: torch.stack(latents) for name, latents in self._latents.items()}
        metadata = {
            "steps": json.dumps(self._steps),
            "total": str(self._total),
            "every": str(self.every),
        }
        self._steps, self._latents = [], {}
        self.write(FILE, save(tensors, metadata))

    def _fetch(self) -> None:
        """Bring the latents to the CPU, many at once; the device's memory is needed elsewhere."""
        for latents in self._latents.values():
            latents[self._fetched :] = [latent.cpu() for latent in latents[self._fetched :]]
        self._fetched = len(self._steps)

    def _thin(self) -> None:
        """Drop every other step while there is too much of them."""
        while len(self._steps) > 2 and self._bytes() > self.max_bytes:
            self.every *= 2
            kept = [i for i, index in enumerate(self._steps) if index % self.every == 0]
            self._steps = [self._steps[i] for i in kept]
            for name, latents in self._latents.items():
                self._latents[name] = [latents[i] for i in kept]
            self._fetched = len(self._steps)

    def _bytes(self) -> int:
        one = sum(latents[0].nbytes for latents in self._latents.values())
        return one * len(self._steps)

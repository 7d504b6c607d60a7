"""How the loop runs: its settings, and what they say of each step."""

import math
from dataclasses import dataclass

from guidegen.guidance.camera import Motion
from guidegen.guidance.losses.clip import scene_weights
from guidegen.guidance.objective import Objective


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How the loop runs.

    Attributes:
        steps: updates of the latents.
        lr: learning rate at the start; a half cosine takes it to `lr_end` of that.
        lr_end: last learning rate as a part of the first.
        optimizer: a key of `guidegen.guidance.optimize.OPTIMIZERS`.
        propose_every: steps between proposals of other choices, for generators that make them.
        check_every: steps between checks that the loss is finite; each waits for the device.
        scenes: of the story; the learning rate falls in the last of them only.
        motion: moves of the camera between steps; None is a still picture.
        warmup: share of the run over which the learning rate rises from nothing.
        latent_noise: deviation of the noise on the latents in each step.
        doublings: of the resolution at which the picture is seen; see `coarseness`.
    """

    steps: int
    lr: float
    lr_end: float = 0.1
    optimizer: str = "adam"
    propose_every: int = 3
    check_every: int = 10
    scenes: int = 1
    motion: Motion | None = None
    warmup: float = 0.0
    latent_noise: float = 0.0
    doublings: int = 0

    def progress(self, index: int) -> float:
        """Share of the run that is over at a step, 0 to 1."""
        return index / max(self.steps, 1)

    def scene_progress(self, index: int) -> float:
        """Share of its scene that is over at a step, 0 to 1."""
        place = self.progress(index) * self.scenes
        return place - min(int(place), self.scenes - 1)

    def lr_at(self, index: int) -> float:
        """Learning rate of a step: a half cosine from lr to lr · lr_end, in the last scene.

        Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), without restarts.
        """
        # a scene that fades in needs the full rate to change the picture
        in_last_scene = index * self.scenes >= self.steps * (self.scenes - 1)
        share = self.scene_progress(index) if in_last_scene else 0.0
        factor = self.lr_end + (1 - self.lr_end) * 0.5 * (1 + math.cos(math.pi * share))
        rise = min(1.0, (index + 1) / max(1.0, self.warmup * self.steps))
        return self.lr * factor * rise

    def proposes_at(self, index: int) -> bool:
        """Whether other choices are tried after a step.

        The last third of a scene only polishes: a new choice would have no time to settle.
        """
        return index % self.propose_every == 0 and self.scene_progress(index) < 2 / 3

    def moves_after(self, index: int) -> bool:
        """Whether the camera moves after a step."""
        return self.motion is not None and (index + 1) % self.motion.every == 0


def coarseness(doublings: int, progress: float) -> int:
    """How often the resolution is still to double when a share `progress` of the run is over.

    All stages but the last have an equal part of the first half of the run.

    >>> [coarseness(2, share) for share in (0.0, 0.2, 0.3, 0.5, 1.0)]
    [2, 2, 1, 0, 0]
    """
    return max(0, doublings - int(2 * doublings * progress))


def measures_the_same(objective: Objective, settings: LoopSettings, index: int) -> bool:
    """Whether the losses of a step can be compared with those of the step before.

    Not while a term's weight changes, one scene of a story fades into the next, or the resolution
    doubles.
    """
    now, before = settings.progress(index), settings.progress(index - 1)
    if coarseness(settings.doublings, now) != coarseness(settings.doublings, before):
        return False
    return objective.weights_at(now) == objective.weights_at(before) and scene_weights(
        settings.scenes, now
    ) == scene_weights(settings.scenes, before)

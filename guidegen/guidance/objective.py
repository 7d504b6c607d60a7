"""What is minimised: named, weighted terms.

Distances between views and prompts through each CLIP, plus the generator's own prior. Text is
encoded once, before the loop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidegen.guidance.losses import DISTANCES
from guidegen.interfaces import Perceptor
from guidegen.ops import straight_through


@dataclass(frozen=True)
class Target:
    """The encoded prompts of one candidate for one CLIP.

    Attributes:
        features: [k, d] unit vectors.
        weights: [k]; negative ones push away.
        stops: [k] values of sign(w) · distance below which the gradient of a prompt is cut.
        scenes: [S, k] of a story: 1 where a prompt belongs to a scene, else 0; None for one scene.
    """

    features: Tensor
    weights: Tensor
    stops: Tensor
    scenes: Tensor | None = None

    def at(self, share: float) -> "Target":
        """The target at a moment of the run: the weights of the scene that is on.

        Each scene has the same length; in its last third the next one fades in.

        Args:
            share: part of the run that is over, 0 to 1.
        """
        if self.scenes is None:
            return self
        presence = self.scenes.new_tensor(scene_weights(len(self.scenes), share))
        return Target(self.features, self.weights * (presence @ self.scenes), self.stops)


def scene_weights(scenes: int, share: float) -> list[float]:
    """How much each scene of a story counts after a part `share` of the run; they sum to 1."""
    place = min(share * scenes, scenes - 1e-9)
    now = int(place)
    fade = min(max((place - now - 2 / 3) * 3, 0.0), 1.0) if now < scenes - 1 else 0.0
    fade = fade * fade * (3 - 2 * fade)
    weights = [0.0] * scenes
    weights[now] = 1 - fade
    if fade:
        weights[now + 1] = fade
    return weights


@dataclass(frozen=True)
class Eye:
    """One CLIP of an ensemble with its weight and every candidate's target in its space."""

    perceptor: Perceptor
    weight: float
    targets: Sequence[Target]


@dataclass(frozen=True)
class Objective:
    """The loss of all candidates.

    Attributes:
        eyes: the CLIPs; their weights sum to one.
        distance: a key of `guidegen.guidance.losses.DISTANCES`.
        prior: weight of `Generator.prior`.
        init: weight of the mean squared distance of the latents to their start.
    """

    eyes: Sequence[Eye]
    distance: str = "spherical"
    prior: float = 1.0
    init: float = 0.0

    def at(self, share: float) -> "Objective":
        """The objective after a part `share` of the run: itself, but for stories."""
        if all(target.scenes is None for eye in self.eyes for target in eye.targets):
            return self
        eyes = [
            replace(eye, targets=[target.at(share) for target in eye.targets]) for eye in self.eyes
        ]
        return replace(self, eyes=eyes)

    def view_losses(self, eye: Eye, features: Tensor, owners: Sequence[int]) -> Tensor:
        """Loss [m] of m views by one CLIP.

        For each prompt |w| · sign(w) · distance, as VQGAN-CLIP sums them; where sign(w) · distance
        is below its stop a prompt keeps its value but loses its gradient.

        Args:
            eye: the CLIP.
            features: [m, d] unit vectors.
            owners: the candidate each view belongs to.
        """
        apart: Callable[[Tensor, Tensor], Tensor] = DISTANCES[self.distance]
        losses = []
        start = 0
        while start < len(owners):
            owner = owners[start]
            end = start
            while end < len(owners) and owners[end] == owner:
                end += 1
            target = eye.targets[owner]
            distances = apart(features[start:end, None], target.features[None])
            distances = distances * target.weights.sign()
            held = torch.maximum(distances, target.stops)
            # value of the distance, gradient of the held one: zero below the stop
            held = straight_through(distances, held)
            losses.append((held * target.weights.abs()).sum(1))
            start = end
        return eye.weight * torch.cat(losses)


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """Sum of the named losses, [B]."""
    return torch.stack(list(losses.values())).sum(0)

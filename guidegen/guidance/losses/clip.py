"""The distance between views and prompts, through each CLIP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.guidance.losses.distances import spherical_distance
from guidegen.interfaces import LossContext, Target, Viewed
from guidegen.ops import straight_through


@dataclass(frozen=True)
class ClipDistance:
    """For each prompt |w| · sign(w) · distance, as VQGAN-CLIP sums them.

    Where sign(w) · distance is below its stop a prompt keeps its value but loses its gradient.

    Attributes:
        targets: name of a perceptor -> each candidate's encoded prompts.
        distance: of unit vectors [..., d], broadcastable.

    Source: repository nerdyrodent/VQGAN-CLIP, `Prompt.forward`.
    """

    targets: Mapping[str, Sequence[Target]]
    distance: Callable[[Tensor, Tensor], Tensor] = spherical_distance

    def view_loss(self, viewed: Viewed) -> Tensor:
        """Loss [m] of m views; see `guidegen.interfaces.ViewLoss`."""
        targets = self.targets[viewed.perceptor.name]
        losses = []
        start = 0
        for candidate, views in groupby(viewed.candidates):
            end = start + len(list(views))
            target = targets[candidate]
            weights = weights_at(target, viewed.progress)
            signed = self.distance(viewed.features[start:end, None], target.features[None])
            signed = signed * weights.sign()
            stopped = torch.maximum(signed, target.stops)
            # the value of the distance, the gradient of the stopped one: none below the stop
            losses.append((straight_through(signed, stopped) * weights.abs()).sum(1))
            start = end
        return torch.cat(losses)


def weights_at(target: Target, progress: float) -> Tensor:
    """The weights [k] of the prompts when a share `progress` of the run is over.

    Those of the scene that is on: each has the same length, and in its last third the next one
    fades in.
    """
    if target.scenes is None:
        return target.weights
    # numbers times rows: a tensor of them would make a GPU wait in every micro-batch
    shares = scene_weights(len(target.scenes), progress)
    rows = [share * row for share, row in zip(shares, target.scenes, strict=True) if share]
    return target.weights * torch.stack(rows).sum(0)


def scene_weights(scenes: int, progress: float) -> list[float]:
    """How much each scene counts when a share `progress` of the run is over; they sum to 1."""
    place = min(progress * scenes, scenes - 1e-9)
    now = int(place)
    fade = min(max((place - now - 2 / 3) * 3, 0.0), 1.0) if now < scenes - 1 else 0.0
    fade = fade * fade * (3 - 2 * fade)
    weights = [0.0] * scenes
    weights[now] = 1 - fade
    if fade:
        weights[now + 1] = fade
    return weights


def build(info: LossInfo, context: LossContext) -> ClipDistance:
    """Entry point; see `guidegen.backend.LossInfo`."""
    return ClipDistance(context.targets, context.distance)

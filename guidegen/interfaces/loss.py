"""Losses: what is minimised, as a sum of named, weighted terms.

A loss is an object with one method or two: `image_loss` for what can be said of the picture or its
latents, `view_loss` for what can be said of CLIP's features of the views of it. The loop does the
rest: weights, schedules, micro-batches, gradients, names in `steps.jsonl`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from torch import Tensor

from guidegen.interfaces.generator import Generator, Images, Latents
from guidegen.interfaces.loop import Candidate
from guidegen.interfaces.perceptor import Perceptor


@dataclass(frozen=True)
class Target:
    """The encoded prompts of one candidate for one perceptor.

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


@dataclass(frozen=True)
class Decoded:
    """Some candidates' pictures, as a loss of images is told of them.

    Attributes:
        images: [G, 3, H, W] in [0, 1], at the size at which the generator works in the loop.
        latents: what they were decoded from, [G, ...] each.
        candidates: which of the run's candidates they are, G numbers from 0.
        progress: share of the run that is over, 0 to 1.
    """

    images: Images
    latents: Latents
    candidates: range
    progress: float


@dataclass(frozen=True)
class Viewed:
    """Some views of candidates' pictures, as one perceptor sees them.

    A micro-batch: the views of one candidate may come in several of these.

    Attributes:
        features: [m, d] unit vectors.
        views: [m, 3, S, S], the pixels that the perceptor was given; may leave [0, 1].
        perceptor: whose features these are.
        candidates: the candidate of each view, m numbers that never fall.
        progress: share of the run that is over, 0 to 1.
    """

    features: Tensor
    views: Images
    perceptor: Perceptor
    candidates: Sequence[int]
    progress: float


@runtime_checkable
class ImageLoss(Protocol):
    """A loss of pictures and latents."""

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G] of each picture, differentiable in the images or in the latents.

        A candidate's loss must depend on its own row alone, or its picture would change with its
        neighbours.
        """


@runtime_checkable
class ViewLoss(Protocol):
    """A loss of the views' features."""

    def view_loss(self, viewed: Viewed) -> Tensor | None:
        """Loss [m] of each view, differentiable in the features or in the views' pixels.

        A picture's loss is the mean over its views, and over the perceptors by their weights. None
        where a loss does not read this perceptor's features, which then counts for nothing.
        """


@runtime_checkable
class Anchored(Protocol):
    """A loss that remembers where the run began."""

    def begin(self, latents: Latents) -> Self:
        """The loss of a run that begins at these latents [B, ...], or was moved there.

        Called again after a move of the camera; must copy what it keeps.
        """

    def resume(self, state: Latents) -> Self:
        """The loss of a run that goes on with what `state` returned."""

    def state(self) -> Latents:
        """What it remembers, [B, ...] each: saved with the run, told to `resume`."""


Loss: TypeAlias = ImageLoss | ViewLoss


@dataclass(frozen=True)
class LossContext:
    """What a loss may need when it is made.

    Attributes:
        generator: of the pictures.
        perceptors: with weights that sum to one.
        candidates: whose pictures these are.
        targets: name of a perceptor -> each candidate's encoded prompts.
        distance: how far unit vectors [..., d] are apart, as the user chose it; broadcasts.
        options: of this loss, every one that its card declares.
    """

    generator: Generator
    perceptors: Sequence[tuple[Perceptor, float]]
    candidates: Sequence[Candidate]
    targets: Mapping[str, Sequence[Target]]
    distance: Callable[[Tensor, Tensor], Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)

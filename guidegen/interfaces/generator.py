"""Generators: latents to images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.prompt.grammar import Phrase

Images: TypeAlias = Tensor
Latents: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Entry:
    """One thing a generator can be steered to at the start.

    Attributes:
        name: what it shows, in words ("red apple", "tench").
        group: where it belongs in a picture: "object", "scene" (fills it), "sky" or "ground"; or
            "backdrop" (lies behind everything, and is chosen by its name alone).
        keywords: what else it brings to mind ("lonely, sad"), read where no name fits; may be "".
    """

    name: str
    group: str = "object"
    keywords: str = ""


class Vocabulary(Protocol):
    """What a generator can be steered to: ImageNet's classes, a collage's patches."""

    @property
    def entries(self) -> Sequence[Entry]:
        """The V things, in a fixed order."""

    @property
    def digest(self) -> str:
        """SHA-256 of names and pictures, the key of cached features."""

    def thumbnails(self, indices: Sequence[int]) -> Images | None:
        """Pictures [n, 3, s, s] of some entries, or None where there are none."""


@dataclass(frozen=True)
class Preference:
    """How well each entry of the vocabulary fits each phrase of a candidate's prompt.

    Attributes:
        phrases: the K parts of the prompt that name a thing; at least one.
        scores: [K, V] on the CPU, higher is better, about zero mean and unit spread per row.
        backdrop: colour that the prompt wants behind everything, or "night"; "" for neither.
        embedding: [d], the prompt in the space of a CLIP, where a start is predicted from that.
    """

    phrases: tuple[Phrase, ...]
    scores: Tensor
    backdrop: str = ""
    embedding: Tensor | None = None


@runtime_checkable
class Generator(Protocol):
    """Maps latents to images. Candidates never mix: row b of the output depends on row b alone."""

    info: GeneratorInfo
    size: tuple[int, int]  # (height, width) of finished pictures
    vocabulary: Vocabulary | None
    digest: str  # SHA-256 over the weights or patches that it draws with; "" where there are none

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Draw `batch` starts, one CPU RNG (and one preference) each."""

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """Images [B, 3, H, W] in [0, 1], differentiable in every floating latent.

        Args:
            latents: as `init` returns them.
            size: (height, width) for generators that can draw at any size; None is the size that
                suits the loop.
        """

    def constrain_(self, latents: Latents) -> None:
        """Project onto the feasible set, in place; idempotent."""

    def prior(self, latents: Latents) -> Tensor:
        """Regulariser [B], differentiable; zeros where there is none."""


@runtime_checkable
class Encodes(Protocol):
    """A generator that can start from an image."""

    def encode(self, images: Images) -> Latents:
        """Latents whose decoding comes near `images` [B, 3, H, W]."""


@runtime_checkable
class Proposes(Protocol):
    """A generator with choices that no gradient reaches: it proposes others, the loss decides."""

    def propose(
        self, latents: Latents, *, rngs: Sequence[torch.Generator], preference: Sequence[Preference]
    ) -> Latents:
        """A changed copy of the latents, each row by its own RNG."""


@runtime_checkable
class Mixes(Protocol):
    """A generator some of whose latents have a better mean than the mean of their numbers."""

    def mix(self, name: str, basis: Tensor, shares: Tensor) -> Tensor:
        """The mixture [B, ...] of a latent.

        Args:
            name: of the latent.
            basis: [B, K, ...], what is mixed.
            shares: [B, K, ...]; they sum to 1 over K.
        """


@runtime_checkable
class Draws(Protocol):
    """A generator whose pictures are drawings, which SVG can hold."""

    def svg(self, latents: Latents) -> str:
        """The drawing of latents, a batch of one, as an SVG document."""

"""Perceptors: texts and images to one space."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from guidegen.interfaces.generator import Images


@runtime_checkable
class Perceptor(Protocol):
    """A CLIP: text and images to unit vectors of one space."""

    name: str
    digest: str

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """[n, d] float32, unit norm."""

    def encode_image(self, images: Images) -> Tensor:
        """[n, d] float32, unit norm, differentiable; normalises and resizes by itself."""

    @property
    def input_size(self) -> int:
        """Side in pixels at which cutouts should arrive."""

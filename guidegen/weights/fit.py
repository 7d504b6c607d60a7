"""Whether tensors are exactly those that a model has. Torch-free."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from guidegen.errors import WeightsError

_NAMED = 3


class Shaped(Protocol):
    """What has a shape; a tensor, say."""

    @property
    def shape(self) -> Sequence[int]:
        """Its sides."""


def require_fit(
    path: Path, tensors: Mapping[str, Shaped], expected: Mapping[str, Sequence[int]]
) -> None:
    """Refuse everything but exactly the expected tensors.

    Args:
        path: of their file, for the message.
        tensors: what it holds.
        expected: name -> shape.

    Raises:
        WeightsError: some are missing, extra or of another shape; it names the first of each.
    """
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    kinds = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
    found = [f"{len(names)} {kind} ({_few(names)})" for kind, names in kinds if names]
    if found:
        raise WeightsError(f"{path} does not fit its config: {'; '.join(found)}")


def _few(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")

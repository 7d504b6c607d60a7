"""Standing negatives: words that no view should resemble, whatever the prompt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import ConfigError
from guidegen.interfaces import LossContext, Viewed


@dataclass(frozen=True)
class Avoid:
    """Minus the mean distance of the views to some words, as a negative prompt counts.

    Attributes:
        words: name of a perceptor -> features [k, d] of the words.
        distance: of unit vectors [..., d], broadcastable.

    Source: Fort & Whitaker 2025 (arXiv:2502.07753), who push away "optical character recognition"
    and "multiple exposure" with weight 0.3.
    """

    words: Mapping[str, Tensor]
    distance: Callable[[Tensor, Tensor], Tensor]

    def view_loss(self, viewed: Viewed) -> Tensor:
        """Loss [m]; see `guidegen.interfaces.ViewLoss`."""
        words = self.words[viewed.perceptor.name]
        return -self.distance(viewed.features[:, None], words[None]).mean(1)


def check(options: Mapping[str, Any]) -> None:
    """Refuse a list without words."""
    if not _words(options["words"]):
        raise ConfigError(
            "avoid needs words, like avoid.words=fog,a crowd of people", field="loss_option"
        )


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def build(info: LossInfo, context: LossContext) -> Avoid:
    """Entry point; see `guidegen.backend.LossInfo`."""
    words = _words(context.options["words"])
    features = {each.name: each.encode_text(words) for each, _ in context.perceptors}
    return Avoid(features, context.distance)

"""Words around a prompt: CLIP was trained on captions, not on bare names."""

import re
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.interfaces import Perceptor

IMAGENET = "imagenet"


@runtime_checkable
class CountsTokens(Protocol):
    """A perceptor that knows how much of a text it reads."""

    context_length: int

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, start and end included."""


def apply_template(text: str, template: str) -> list[str]:
    """The texts whose features are averaged.

    >>> apply_template("fox", "a photo of {}")
    ['a photo of fox']

    Args:
        text: the prompt.
        template: "" for the prompt as it is, words with {} in them, or "imagenet" for the 80
            templates of Radford et al. (2021, arXiv:2103.00020) as open_clip lists them.
    """
    if not template:
        return [text]
    if template == IMAGENET:
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [fill(text) for fill in OPENAI_IMAGENET_TEMPLATES]
    # not str.format: other braces in a template are only braces
    return [template.replace("{}", text)]


def encode_prompt(perceptor: Perceptor, text: str, template: str = "") -> Tensor:
    """Feature of one prompt: the mean of its templates' unit vectors, at unit norm.

    Returns:
        [d] float32.
    """
    features = perceptor.encode_text(apply_template(text, template))
    with torch.no_grad():
        return features[0] if len(features) == 1 else F.normalize(features.mean(0), dim=0)


def truncated_words(perceptor: Perceptor, text: str) -> str | None:
    """The end of a text that lies beyond the model's context length.

    A word of which only a part is read counts as beyond.

    Returns:
        The words as they stand in the text; None where all is read or the perceptor can't tell.
    """
    if not isinstance(perceptor, CountsTokens):
        return None
    limit = perceptor.context_length
    if perceptor.count_tokens(text) <= limit:
        return None
    # a language without spaces is one long "word": cut it between characters
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    if len(ends) == 1:
        ends = list(range(1, len(text) + 1))
    kept = 0
    for end in ends:
        if perceptor.count_tokens(text[:end]) > limit:
            break
        kept = end
    return text[kept:].strip()

"""Words around a prompt: CLIP was trained on captions, not on bare names."""

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.interfaces import Perceptor

IMAGENET = "imagenet"


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

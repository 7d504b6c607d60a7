"""Prompts of every kind as the targets of one CLIP: words, pictures, random directions."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.templates import encode_prompt, truncated_words
from guidegen.interfaces import Candidate, Images, Perceptor, Target
from guidegen.media.images import read_picture
from guidegen.prompt.references import ImagePrompt, NoisePrompt

log = logging.getLogger(__name__)


def encode_targets(
    perceptor: Perceptor, candidates: Sequence[Candidate], *, template: str = ""
) -> list[Target]:
    """The targets of some candidates.

    A target's rows are the candidate's prompts in their order, then its references. In a story the
    last belong to all scenes.

    Args:
        perceptor: in whose space.
        candidates: their prompts and references.
        template: put around words, as `guidegen.clip.templates.encode_prompt` does.

    Raises:
        InputImageError: an image prompt can't be read.
    """
    pictures: dict[Path, Tensor] = {}  # often the same for all

    def encode(reference: ImagePrompt | NoisePrompt, like: Tensor) -> Tensor:
        if isinstance(reference, NoisePrompt):
            return sample_direction(reference, like=like)
        if reference.path not in pictures:
            pictures[reference.path] = encode_picture(perceptor, reference)
        return pictures[reference.path]

    targets = []
    for candidate in candidates:
        of_words = _encode_words(perceptor, candidate, template)
        like = of_words[0] if of_words else perceptor.encode_text([""])[0].float()
        of_references = [encode(each, like) for each in candidate.references]
        prompts = [*candidate.prompts, *candidate.references]
        features = torch.stack([*of_words, *of_references])
        weights = features.new_tensor([prompt.weight for prompt in prompts])
        stops = features.new_tensor([prompt.stop for prompt in prompts])
        targets.append(_with_scenes(Target(features, weights, stops), candidate))
    return targets


@torch.no_grad()
def similarity(perceptor: Perceptor, target: Target, images: Images, words: int) -> float:
    """Cosine of a picture and the mean of the words that it was to show, -1 to 1.

    Where there are none it is the mean of the pictures and directions in their place.

    Args:
        perceptor: in whose space.
        target: of the picture's candidate.
        images: the picture, [1, 3, H, W].
        words: how many of the target's rows are words; they come first.
    """
    seen = perceptor.encode_image(images)[0]
    wanted = target.weights > 0
    if wanted[:words].any():
        wanted[words:] = False
    wanted = target.features[wanted].mean(0)
    return float(seen @ (wanted / wanted.norm()))


def _encode_words(perceptor: Perceptor, candidate: Candidate, template: str) -> list[Tensor]:
    for prompt in candidate.prompts:
        cut = truncated_words(perceptor, prompt.text)
        if cut:
            log.warning(
                "%s reads only the start of the prompt; cut off, %d characters: %r",
                perceptor.name, len(cut), cut if len(cut) <= 80 else f"{cut[:50]} ... {cut[-25:]}",
            )  # fmt: skip
    return [encode_prompt(perceptor, prompt.text, template) for prompt in candidate.prompts]


@torch.no_grad()
def encode_picture(perceptor: Perceptor, prompt: ImagePrompt) -> Tensor:
    """Feature [d] of an image prompt: of the whole picture, as the perceptor sees it."""
    device = perceptor.encode_text(["a"]).device
    picture = read_picture(prompt.path, "image prompt").to(device)
    return perceptor.encode_image(picture)[0].float()


def sample_direction(prompt: NoisePrompt, *, like: Tensor) -> Tensor:
    """A unit vector [d] from N(0, 1), drawn on the CPU by the prompt's own seed."""
    rng = torch.Generator().manual_seed(prompt.seed)
    return F.normalize(torch.randn(like.shape, generator=rng), dim=0).to(like)


def _with_scenes(target: Target, candidate: Candidate) -> Target:
    """The target of a story; prompts beyond the candidate's own are in all scenes."""
    if not candidate.scenes:
        return target
    extra = len(target.weights) - len(candidate.scenes)
    scenes = [*candidate.scenes, *[-1] * extra]
    count = max(scenes) + 1
    rows = [[float(scene in (number, -1)) for scene in scenes] for number in range(count)]
    return replace(target, scenes=target.weights.new_tensor(rows))

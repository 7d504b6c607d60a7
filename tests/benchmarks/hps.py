"""How much people would like a picture for a prompt: HPS v2, where its weights are at hand.

Source: Wu et al. 2023, "Human Preference Score v2" (arXiv:2306.09341), and repository
tgxs002/HPSv2: open_clip's ViT-H-14, tuned on choices of people between pictures of one prompt. The
weights, `HPS_v2.1_compressed.pt` or `HPS_v2_compressed.pt`, are in the hub's repository xswu/HPSv2.
"""

from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from guidegen.clip.open_clip_perceptor import CLIPPerceptor
from guidegen.errors import WeightsError
from guidegen.weights.open_clip_weights.quiet import import_open_clip, one_line, quiet
from tests.benchmarks.judging import as_images


class HumanPreference:
    """Scores pictures on the CPU, in float32.

    Args:
        weights: the published file: a dict whose "state_dict" is that of the architecture.
        architecture: of open_clip.

    Raises:
        WeightsError: no such file, or another model's.
    """

    def __init__(self, weights: Path, architecture: str = "ViT-H-14") -> None:
        open_clip = import_open_clip()
        state = read_state(weights)
        with quiet():
            model = open_clip.create_model(architecture, pretrained=None)
        try:
            model.load_state_dict(state)
        except (RuntimeError, TypeError) as error:
            raise WeightsError(f"{weights} is no {architecture}: {one_line(error)}") from error
        tokenizer = open_clip.get_tokenizer(architecture)
        # nothing asks for the digest here, and hashing gigabytes takes a while
        self._perceptor = CLIPPerceptor(model, tokenizer, name=weights.name, digest="")

    @torch.no_grad()
    def score(self, image: Image.Image, prompt: str) -> float:
        """100 times the cosine of picture and prompt, as its papers give it."""
        text = self._perceptor.encode_text([prompt])
        picture = self._perceptor.encode_image(fitted(image, self._perceptor.input_size))
        return 100 * float((picture @ text.T)[0, 0])


def read_state(weights: Path) -> dict[str, torch.Tensor]:
    """What is in the file, not yet in memory.

    Raises:
        WeightsError: no such file, or one of another kind.
    """
    try:
        whole = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
        return dict(whole["state_dict"])
    except Exception as error:
        # torch and pickle raise many types for a file that is something else
        raise WeightsError(f"can't read {weights} as HPS v2: {one_line(error)}") from error


def fitted(image: Image.Image, side: int) -> torch.Tensor:
    """The whole picture [1, 3, side, side] in [0, 1], black where it is not square."""
    height, width = (max(1, round(of * side / max(image.size))) for of in image.size[::-1])
    # as HPS v2 does, without the clamping of guidegen.ops.resize
    picture = F.interpolate(as_images(image), (height, width), mode="bicubic", antialias=True)
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(picture, (left, side - width - left, top, side - height - top))

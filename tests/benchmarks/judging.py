"""What the benchmarks of quality share: our prompts, a judge that never guides, results on disk."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from guidegen.clip.perceptor import load_ensemble
from guidegen.clip.templates import encode_prompt

HERE = Path(__file__).parent
JUDGE = f"local-dir:{HERE / 'judge'}"


def named_things() -> list[str]:
    """The 64 prompts of rprecision_prompts.txt."""
    lines = (HERE / "rprecision_prompts.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def all_prompts() -> list[str]:
    """200 names of things, sentences and scenes, all written before pictures were made of them."""
    names = named_things()
    lines = (HERE / "free_sentences.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line)["sentence"] for line in lines]
    # things and sentences take turns, so that the first n are a fair part of both
    mixed = [text for pair in zip(names, sentences, strict=False) for text in pair]
    more = (HERE / "more_prompts.txt").read_text(encoding="utf-8").splitlines()
    return [*mixed, *names[len(sentences) :], *sentences[len(names) :], *more]


class Judge:
    """Scores a picture against all prompts with a CLIP, on the CPU.

    Args:
        spec: as `--perceptor` takes it, without weight.
        prompts: all different, three at least.
    """

    def __init__(self, spec: str, prompts: list[str]) -> None:
        ((self.perceptor, _),) = load_ensemble((spec,), device="cpu", precision="fp32")
        self.texts = torch.stack([encode_prompt(self.perceptor, text, "") for text in prompts])

    @torch.no_grad()
    def scores(self, image: Image.Image) -> Tensor:
        """Cosines of the picture and each prompt, [number of prompts]."""
        return (self.perceptor.encode_image(as_images(image)) @ self.texts.T)[0]

    def __call__(self, image: Image.Image, number: int) -> dict[str, float]:
        """How prompt `number` stands among all: see `standing`."""
        return standing(self.scores(image), number)


def as_images(image: Image.Image) -> Tensor:
    """A picture as perceptors take it: [1, 3, H, W] in [0, 1]."""
    return pil_to_tensor(image.convert("RGB"))[None].float() / 255


def standing(scores: Tensor, number: int) -> dict[str, float]:
    """How one prompt stands among others.

    Args:
        scores: cosine of each, [n], n at least 3.
        number: of the right one.

    Returns:
        "cosine" of picture and prompt; how far that is "above" the mean of the other prompts, in
        their standard deviations; whether it comes "first", 1 or 0; its "place", from 1 on; and
        "best", the number of the prompt with the highest cosine.
    """
    others = torch.cat([scores[:number], scores[number + 1 :]])
    above = (scores[number] - others.mean()) / others.std()
    return {
        "cosine": float(scores[number]),
        "above": float(above),
        "first": float(scores[number] > others.max()),
        "place": 1 + int((others > scores[number]).sum()),
        "best": int(scores.argmax()),
    }


class Results:
    """Figures by key, a line of JSON each; a line that a kill cut off is dropped.

    Attributes:
        rows: key -> figures.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if not path.exists():
            return
        text = path.read_text(encoding="utf-8")
        whole, newline, rest = text.rpartition("\n")
        if rest:
            path.write_text(whole + newline, encoding="utf-8")
        for line in whole.splitlines():
            row = json.loads(line)
            self.rows[row.pop("key")] = row

    def add(self, key: str, figures: dict[str, Any]) -> None:
        """Remember figures, here and on disk."""
        self.rows[key] = figures
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **figures}) + "\n")


def mean_and_error(values: Iterable[tuple[str, float]]) -> tuple[float | None, float | None]:
    """Mean over prompts and its standard error; the seeds of a prompt are one sample.

    Args:
        values: prompt and value of each picture.

    Returns:
        Both; None for what too few prompts do not tell.
    """
    by_prompt: dict[str, list[float]] = {}
    for prompt, value in values:
        by_prompt.setdefault(prompt, []).append(value)
    means = [statistics.mean(each) for each in by_prompt.values()]
    if len(means) < 2:
        return (means[0] if means else None), None
    return statistics.mean(means), statistics.stdev(means) / len(means) ** 0.5

"""Prompts that are no words: pictures, and random vectors by their seed. Torch-free."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from guidegen.errors import PromptSyntaxError
from guidegen.prompt.grammar import split_numbers

MAX_SEED = 2**63 - 1  # of torch.Generator


@dataclass(frozen=True)
class ImagePrompt:
    """A picture that the result should resemble; weight and stop as in a `Prompt`."""

    path: Path
    weight: float = 1.0
    stop: float = -math.inf


@dataclass(frozen=True)
class NoisePrompt:
    """A random direction of CLIP's space; weight and stop as in `guidegen.prompt.grammar.Prompt`.

    Source: repository nerdyrodent/VQGAN-CLIP, `noise_prompt_seeds` and `noise_prompt_weights`.
    """

    seed: int
    weight: float = 1.0
    stop: float = -math.inf


def parse_image_prompt(text: str) -> ImagePrompt:
    r"""Read `PATH`, `PATH:WEIGHT` or `PATH:WEIGHT:STOP`.

    A suffix counts as a weight only where it is a number and not the end of a file's name; `\:` is
    always a colon of the path.

    >>> parse_image_prompt("C:/photos/a.png:0.5").weight
    0.5

    Raises:
        PromptSyntaxError: an empty path, or a weight that is no usable number.
    """
    head, _, tail = text.rpartition(":")
    plain, numbers = split_numbers(f"x:{tail}") if _is_file(head) else ("", ())
    if _is_file(text):
        path, numbers = text, ()
    elif plain == "x":
        path = head
    else:
        path, numbers = split_numbers(text)
        path = re.sub(r"\\:", ":", path).strip()
    if not path:
        raise PromptSyntaxError(f"the image prompt {text!r} names no file; write photo.png:0.5")
    return ImagePrompt(Path(path), *_weight_and_stop(f"image prompt {text!r}", numbers))


def parse_noise_prompt(text: str) -> NoisePrompt:
    """Read `SEED`, `SEED:WEIGHT` or `SEED:WEIGHT:STOP`.

    Raises:
        PromptSyntaxError: a seed that is none, or a weight that is no usable number.
    """
    seed, _, rest = text.partition(":")
    seed = seed.strip()
    left, numbers = split_numbers(f"x:{rest}") if rest else ("x", ())
    if not re.fullmatch(r"\d{1,19}", seed) or int(seed) > MAX_SEED or left != "x":
        raise PromptSyntaxError(f"the noise prompt {text!r} is not SEED:WEIGHT, like 7:0.1")
    return NoisePrompt(int(seed), *_weight_and_stop(f"noise prompt {text!r}", numbers))


def _weight_and_stop(what: str, numbers: tuple[float, ...]) -> tuple[float, float]:
    weight = numbers[0] if numbers else 1.0
    if not math.isfinite(weight) or weight == 0:
        raise PromptSyntaxError(f"in {what} the weight must be finite and not zero")
    return weight, numbers[1] if len(numbers) > 1 else -math.inf


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False

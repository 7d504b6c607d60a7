"""Whether things stand where regions say: crops ranked by a CLIP that does not guide.

    python -m tests.benchmarks.regions RESULTS.jsonl [--prompts 50] [--steps N] [--size 128]

Each picture has two regions, left and right or top and bottom, painted small by the preset `paint`.
A region counts as right where the judge finds its crop nearer to its own prompt than to the other
one; beside it stands how often that is so for both. The same pictures without regions, of "A and
B", are the control. What RESULTS.jsonl holds already with the same settings is not painted again,
so it can be stopped and started at any time.
"""

import argparse
import json
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from guidegen.clip.perceptor import load_ensemble
from guidegen.config import make_config
from guidegen.engine.generate import generate
from guidegen.interfaces import Perceptor
from tests.benchmarks.judging import JUDGE, Results, as_images
from tests.benchmarks.workers import work_off

THINGS = (
    "a red apple", "a green tree", "a blue car", "a yellow duck", "a house", "a butterfly",
    "a fish", "a flame", "an eye", "a castle",
)  # fmt: skip
KINDS = ("regions", "control")
SIDES = (("left", "right"), ("top", "bottom"))


def pairs(count: int) -> list[tuple[str, str, tuple[str, str]]]:
    """Two things and their sides, `count` of them; every other one is above and below."""
    found = [
        (THINGS[first], THINGS[(first + step) % len(THINGS)])
        for step in range(1, len(THINGS))
        for first in range(len(THINGS))
    ]
    return [(a, b, SIDES[number % 2]) for number, (a, b) in enumerate(found[:count])]


def crops(image: torch.Tensor, sides: tuple[str, str]) -> torch.Tensor:
    """The two halves [2, 3, s, s] of a square picture [3, H, W], squeezed to squares."""
    dim = 2 if sides[0] == "left" else 1
    half = image.shape[dim] // 2
    parts = image.narrow(dim, 0, half), image.narrow(dim, half, half)
    size = (image.shape[1], image.shape[2])
    return torch.cat([torch.nn.functional.interpolate(part[None], size) for part in parts])


@dataclass(frozen=True)
class Wanted:
    """A picture to paint and judge: its key in the results, what it shows, and where."""

    key: str
    kind: str
    first: str
    second: str
    sides: tuple[str, str]


def main() -> None:
    """Paint what is missing, then print both tables."""
    options = _parser().parse_args()
    results = Results(options.results)
    shared = [options.judge, options.weight, options.steps, options.size]
    wanted = [
        Wanted(json.dumps([kind, first, second, *shared]), kind, first, second, sides)
        for first, second, sides in pairs(options.prompts)
        for kind in KINDS
    ]
    work_off(
        [one for one in wanted if one.key not in results.rows],
        Painter(options),
        results,
        processes=options.processes,
        seconds=options.limit,
    )
    for kind in KINDS:
        keys = [one.key for one in wanted if one.kind == kind and one.key in results.rows]
        show(kind, [results.rows[key]["right"] for key in keys])


def show(kind: str, rows: list[list[bool]]) -> None:
    """A line of the table: how many regions are right, and how often both of a picture."""
    if not rows:
        print(f"{kind:<8} no pictures")
        return
    each = sum(map(sum, rows)) / (2 * len(rows))
    error = (each * (1 - each) / (2 * len(rows))) ** 0.5
    both = sum(map(all, rows)) / len(rows)
    print(f"{kind:<8} {len(rows):>3} pictures: {each:.3f} ± {error:.3f} of the regions right, "
          f"both {both:.3f}")  # fmt: skip


@dataclass(frozen=True)
class Painter:
    """Paints and judges one picture; loads the judge when it is first wanted."""

    options: argparse.Namespace

    def __call__(self, one: Wanted) -> dict[str, dict[str, Any]]:
        """Whether each of its two things stands in its place, by the picture's key."""
        sides = one.sides if one.kind == "regions" else None
        image = paint(self.options, one.first, one.second, sides)
        judge = load_judge(self.options.judge)
        return {one.key: {"right": ranked(judge, image, one.first, one.second, one.sides)}}


@cache
def load_judge(spec: str) -> Perceptor:
    """Once a process."""
    ((judge, _),) = load_ensemble((spec,), device="cpu", precision="fp32").parts
    return judge


def paint(
    options: argparse.Namespace, first: str, second: str, sides: tuple[str, str] | None
) -> Image.Image:
    """A picture of two things, each on its side; without sides, wherever they come to stand."""
    own: dict[str, Any] = {
        "prompt": f"{first} and {second}",
        "preset": "paint",
        "size": str(options.size),
        "device": options.device,
    }
    if options.steps is not None:
        own["steps"] = options.steps
    if sides is not None:
        places = zip((first, second), sides, strict=True)
        own["region"] = [f"{text}={side}:{options.weight:g}" for text, side in places]
    (picture,) = generate([make_config(own)], write=False)
    return picture.image


@torch.no_grad()
def ranked(
    judge: Perceptor, image: Image.Image, first: str, second: str, sides: tuple[str, str]
) -> list[bool]:
    """Whether each half is nearer to its own prompt than to the other one."""
    parts = crops(as_images(image)[0], sides)
    table = judge.encode_image(parts) @ judge.encode_text([first, second]).T
    return [bool(table[0, 0] > table[0, 1]), bool(table[1, 1] > table[1, 0])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--judge", default=JUDGE, help="a CLIP that does not guide")
    parser.add_argument("--weight", type=float, default=2.0, help="of each region")
    parser.add_argument("--steps", type=int, help="of each picture; left out: the preset's")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=1, help="more of them: one thread each")
    parser.add_argument(
        "--limit", type=float, default=inf, help="seconds; none is begun after that"
    )
    return parser


if __name__ == "__main__":
    main()

"""Eight candidates together against one after another, with the embedded models.

    python -m tests.benchmarks.candidates [--steps 12] [--repetitions 5] [--json FILE]

The settings are the defaults, with fewer steps; models are loaded before the clock starts. Below
that: CLIP's forward and backward alone on the same cutouts in micro-batches of several sizes, and
whether features and gradients are the same to the last bit, as they must be for candidates to share
a micro-batch.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from guidegen.clip.perceptor import load_perceptor
from guidegen.config import RunConfig, make_config
from guidegen.engine import generate as engine

PROMPTS = [
    "a red apple", "a cat", "a ship on the sea", "two trees", "a blue car", "the moon at night",
    "a house on a hill", "a bird",
]  # fmt: skip


def timed(clock: Callable[[], float], work: Callable[[], Any]) -> float:
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def run(configs: list[RunConfig]) -> None:
    for _ in engine.generate(configs, write=False):
        pass


def together(args: argparse.Namespace, clock: Callable[[], float]) -> dict[str, Any]:
    """Seconds of both ways, alternating."""
    fields = {"steps": args.steps, "device": args.device}
    configs = [
        make_config({"prompt": prompt, "seed": i, **fields}) for i, prompt in enumerate(PROMPTS)
    ]
    run(configs[:1])  # loads the models and features of the vocabulary
    apart, joined = [], []
    for _ in range(args.repetitions):
        apart.append(sum(timed(clock, lambda c=c: run([c])) for c in configs))
        joined.append(timed(clock, lambda: run(configs)))
    ratios = [a / j for a, j in zip(apart, joined, strict=True)]
    return {
        "apart": apart,
        "together": joined,
        "ratio": statistics.median(apart) / statistics.median(joined),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def micro_batches(args: argparse.Namespace, clock: Callable[[], float]) -> list[dict[str, Any]]:
    """Milliseconds an image of CLIP alone, and whether each size gives the bits of size 8."""
    clip = load_perceptor("embedded", device=args.device)
    side = clip.input_size
    images = torch.rand(64, 3, side, side, generator=torch.Generator().manual_seed(0))
    images = images.to(args.device)

    def look(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        features, grads = [], []
        for part in images.split(size):
            part = part.clone().requires_grad_()
            seen = clip.encode_image(part)
            seen.square()[:, ::2].sum().backward()
            features.append(seen.detach())
            grads.append(part.grad)
        return torch.cat(features), torch.cat(grads)

    wanted = look(8)
    rows = []
    for size in (4, 8, 16, 32, 64):
        found = look(size)
        taken = min(timed(clock, lambda size=size: look(size)) for _ in range(args.repetitions))
        same = all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        rows.append({"size": size, "ms an image": 1000 * taken / len(images), "same bits": same})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    result = {"candidates": together(args, clock), "CLIP": micro_batches(args, clock)}
    both = result["candidates"]
    print(
        f"8 candidates: apart {statistics.median(both['apart']):.2f} s, together "
        f"{statistics.median(both['together']):.2f} s: {both['ratio']:.2f}x "
        f"({both['lowest']:.2f} to {both['highest']:.2f})"
    )
    for row in result["CLIP"]:
        print(
            f"CLIP in micro-batches of {row['size']:2}: {row['ms an image']:6.2f} ms an image, "
            f"{'the same bits' if row['same bits'] else 'other bits'}"
        )
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""What buys quality for time: the score of a held-out CLIP against seconds, by setting.

    python tests/benchmarks/quality_time.py [--prompts 12] [--seeds 1] [--json FILE] [VARIANT ...]

Each variant makes the same pictures with the embedded models. The judge is the CLIP of
r_precision.py, which never guides. Its score is how far the right prompt stands above the other 63
prompts of that benchmark, in their standard deviations, and how often it comes first. Variants take
turns prompt by prompt, so that a busy machine is busy for all of them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torchvision.transforms.functional import pil_to_tensor

from guidegen.clip.perceptor import load_ensemble
from guidegen.clip.templates import encode_prompt
from guidegen.config import make_config
from guidegen.engine.generate import generate

HERE = Path(__file__).parent
# What changes against the defaults. "big-sleep settings" are that program's loop on our generator:
# its crops, loss, rate and average, one random start.
VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "big-sleep settings": {
        "cutout_method": "big-sleep", "distance": "big-sleep", "lr": 0.07, "lr_end": 1.0,
        "ema": 0.99, "starts": 1, "cutouts": 128,
    },
    "big-sleep, 8 crops": {
        "cutout_method": "big-sleep", "distance": "big-sleep", "lr": 0.07, "lr_end": 1.0,
        "ema": 0.99, "starts": 1, "cutouts": 8,
    },
    "1 start": {"starts": 1},
    "16 starts": {"starts": 16},
    "4 cutouts": {"cutouts": 4},
    "6 cutouts": {"cutouts": 6},
    "16 cutouts": {"cutouts": 16},
    "30 steps": {"steps": 30},
    "30 steps, 16 cutouts": {"steps": 30, "cutouts": 16},
    "40 steps": {"steps": 40},
    "120 steps": {"steps": 120},
    "120 steps, 4 cutouts": {"steps": 120, "cutouts": 4},
    "constant rate": {"lr_end": 1.0},
    "rate .1": {"lr": 0.1},
    "rate .03": {"lr": 0.03},
    "cosine distance": {"distance": "cosine"},
    "radam": {"optimizer": "radam"},
    "nadam": {"optimizer": "nadam"},
    "average .8": {"ema": 0.8},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", help=f"of: {', '.join(VARIANTS)}")
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    names = args.variants or list(VARIANTS)
    lines = (HERE / "rprecision_prompts.txt").read_text().splitlines()
    prompts = [line for line in lines if line and not line.startswith("#")]
    ((judge, _),) = load_ensemble((f"local-dir:{HERE / 'judge'}",), device="cpu", precision="fp32")
    texts = torch.stack([encode_prompt(judge, prompt, "") for prompt in prompts])
    stride = max(1, len(prompts) // args.prompts)
    chosen = list(range(0, len(prompts), stride))[: args.prompts]

    list(generate([make_config({"prompt": "warm up", "steps": 2})], write=False))
    found: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in names}
    for number in chosen:
        for seed in range(args.seeds):
            for name in names:
                fields = {"prompt": prompts[number], "seed": seed, **VARIANTS[name]}
                start = time.perf_counter()
                (picture,) = generate([make_config(fields)], write=False)
                seconds = time.perf_counter() - start
                image = pil_to_tensor(picture.image)[None].float() / 255
                with torch.no_grad():
                    scores = (judge.encode_image(image) @ texts.T)[0]
                height = float((scores[number] - scores.mean()) / scores.std())
                found[name].append((seconds, height, int(scores.argmax()) == number))

    print(f"{len(chosen) * args.seeds} pictures each; held-out score in standard deviations")
    print(f"{'variant':<24}{'seconds':>9}{'score':>8}{'+-':>6}{'first':>8}")
    table = []
    for name, rows in found.items():
        seconds, heights, firsts = zip(*rows, strict=True)
        error = statistics.stdev(heights) / len(heights) ** 0.5 if len(heights) > 1 else 0.0
        row = {
            "variant": name,
            "seconds": statistics.median(seconds),
            "score": statistics.mean(heights),
            "error": error,
            "first": sum(firsts) / len(firsts),
        }
        table.append(row)
        print(
            f"{name:<24}{row['seconds']:>9.2f}{row['score']:>8.2f}{error:>6.2f}{row['first']:>8.0%}"
        )
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()

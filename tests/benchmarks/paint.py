"""What makes a painted picture read as its prompt: settings compared by a CLIP that never guides.

    python -m tests.benchmarks.paint RESULTS.jsonl [--prompts 100] [--seeds 1] [VARIANT ...]
    python -m tests.benchmarks.paint RESULTS.jsonl preset "whole .5" "no whole view"

Each variant paints the same prompts small with the preset `paint`. The judge is the CLIP of
r_precision.py. Its score of a picture is how far the right prompt stands above all the others, in
their standard deviations; beside it stands how often the right one comes first. Means are over
prompts, with their standard error; "gain" is the mean difference to the first variant, paired.

What RESULTS.jsonl holds already is not painted again, so the script can be stopped and run again;
variants take turns prompt by prompt, so that what is there can be compared at any time.
"""

import argparse
import json
from pathlib import Path

from guidegen.config import make_config
from guidegen.engine.generate import generate
from tests.benchmarks.judging import JUDGE, Judge, Results, all_prompts, mean_and_error

# What changes against the preset.
VARIANTS: dict[str, dict[str, object]] = {
    "preset": {},
    "no whole view": {"cutout_whole": 0.0},
    "whole .33": {"cutout_whole": 0.33},
    "whole .5": {"cutout_whole": 0.5},
    "whole 1": {"cutout_whole": 1.0},
    "whole views still": {"cutout_shift": 0.0},
    "whole views moved twice as far": {"cutout_shift": 0.3},
    "small crops": {"cutout_scale": "0.3,0.7"},
    "no noise": {"cutout_noise": 0.0},
    "noise .2": {"cutout_noise": 0.2},
    "3 views": {"cutouts": 3},
    "12 views": {"cutouts": 12},
    "all scales alike": {"option": ("detail=1",)},
    "coarse first": {"option": ("detail=0.1",)},
    "from grey": {"option": ("start=grey",)},
    "from noise": {"option": ("start=noise",)},
    "pale": {"option": ("saturation=0.5",)},
    "colourful": {"option": ("saturation=2",)},
    "rough": {"prior": 0.0},
    "smooth": {"prior": 3.0},
    "cosine": {"distance": "cosine"},
    "rate .1": {"lr": 0.1},
    "rate .025": {"lr": 0.025},
    "both towers": {"perceptor": ("embedded/robust@0.7", "embedded@0.3")},
    "plain tower": {"perceptor": ("embedded",)},
    "over a collage": {"start_from": "collage"},
    "over a collage, half the rate": {"start_from": "collage", "lr": 0.025},
    "from paper": {"start_from": "none"},
    "from paper, no background": {"start_from": "none", "loss": ("background=0",)},
    "no background": {"loss": ("background=0",)},
    "background 1": {"loss": ("background=1",)},
    "background first": {"loss": ("background=1:0:0.5",)},
    "best of 4": {"starts": 4},
    "predicted alone": {"steps": 0},
    "coarse to fine": {"coarse_to_fine": 2},
    "rate that rises": {"lr_warmup": 0.1},
    "large crops first": {"cutout_scale": "0.7,0.95", "cutout_scale_end": "0.3,0.7"},
    "text-off": {"loss": ("text-off=0.3",)},
    "lively": {"loss": ("saturation=0.5",)},
    "open lights": {"loss": ("range=5",)},
    "sharp": {"loss": ("sharpness=0.3:0.5:1",)},
    "smooth layers": {"loss": ("smooth=0.3",)},
    "palette of four": {"palette": "navy,crimson,#f6e7c1,white"},
    "noise on latents": {"latent_noise": 0.01},
    "mix of 5": {"mix": 5, "starts": 10},
    "best of 8 from noise": {"option": ("start=noise",), "starts": 8},
    "lines": {"generator": "lines", "option": ()},
    "siren": {"generator": "siren", "option": ()},
    "vqgan": {"preset": "paint-vqgan"},
    "fourier": {"generator": "fourier", "option": ()},
    "collage": {"generator": "collage", "perceptor": ("embedded",), "option": ()},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("variants", nargs="*", default=["preset"], help=f"of: {list(VARIANTS)}")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", default="128")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--judge", default=JUDGE)
    parser.add_argument("--perceptor", help="in place of embedded/robust")
    args = parser.parse_args()
    unknown = set(args.variants) - set(VARIANTS)
    if unknown:
        parser.error(f"no such variant: {', '.join(sorted(unknown))}; there are {list(VARIANTS)}")
    prompts = all_prompts()
    if args.prompts > len(prompts):
        parser.error(f"there are {len(prompts)} prompts")
    shared = {"preset": "paint", "size": args.size, "steps": args.steps}
    if args.perceptor:
        shared["perceptor"] = (args.perceptor,)
    judge = Judge(args.judge, prompts)
    results = Results(args.results)
    for seed in range(args.seeds):
        for number, prompt in enumerate(prompts[: args.prompts]):
            for variant in args.variants:
                settings = {**shared, **VARIANTS[variant], "prompt": prompt, "seed": seed}
                key = json.dumps({**settings, "variant": variant}, sort_keys=True)
                if key not in results.rows:
                    (picture,) = generate([make_config(settings)], write=False)
                    results.add(key, judge(picture.image, number))
    report(results.rows, args.variants, shared)


def report(
    done: dict[str, dict[str, float]], variants: list[str], shared: dict[str, object]
) -> None:
    """Print a line a variant, over all that was painted with the same shared settings."""
    by_variant: dict[str, dict[tuple[str, int], dict[str, float]]] = {v: {} for v in variants}
    for key, figures in done.items():
        about = json.loads(key)
        same = {**shared, **VARIANTS.get(about["variant"], {}), "variant": about["variant"]}
        if about["variant"] in by_variant and all(
            json.dumps(about.get(k)) == json.dumps(v) for k, v in same.items()
        ):
            by_variant[about["variant"]][about["prompt"], about["seed"]] = figures
    base = by_variant[variants[0]]
    for variant, figures in by_variant.items():
        above = mean_of(figures)
        right = sum(f["first"] for f in figures.values())
        gain = mean_of(
            {k: {"above": f["above"] - base[k]["above"]} for k, f in figures.items() if k in base}
        )
        print(
            f"{variant}: {above} above the others, first {right:.0f} of {len(figures)}; gain {gain}"
        )


def mean_of(figures: dict[tuple[str, int], dict[str, float]]) -> str:
    """Mean over prompts and its standard error."""
    mean, error = mean_and_error((prompt, of["above"]) for (prompt, _), of in figures.items())
    return "too few" if error is None else f"{mean:.2f} ± {error:.2f}"


if __name__ == "__main__":
    main()

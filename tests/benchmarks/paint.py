"""What makes a painted picture read as its prompt: settings compared by a CLIP that never guides.

    python -m tests.benchmarks.paint RESULTS.jsonl [--prompts 100] [--seeds 1] [VARIANT ...]
    python -m tests.benchmarks.paint RESULTS.jsonl preset "whole .5" "no whole view"
    python -m tests.benchmarks.paint RESULTS.jsonl "bare run" preset "over a collage" \\
        --prompts 200 --seeds 3 --device cuda --processes 10 --together 8 --limit 400

Each variant paints the same prompts small with the preset `paint`. The judge is the CLIP of
r_precision.py. Its score of a picture is how far the right prompt stands above all the others, in
their standard deviations; beside it stands how often the right one comes first, and, for the 64
named things, how often it does among those alone. Means are over prompts, with their standard
error; "gain" is the mean difference to the first variant, paired.

What RESULTS.jsonl holds already is not painted again, so the script can be stopped and run again;
variants take turns prompt by prompt, so that what is there can be compared at any time. Files of
several machines can be joined; with `--limit 0` nothing is painted, and the table is of what they
hold.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from guidegen.config import make_config
from guidegen.engine.generate import generate
from tests.benchmarks.judging import (
    JUDGE,
    Judge,
    Results,
    all_prompts,
    mean_and_error,
    named_things,
    standing,
)
from tests.benchmarks.workers import work_off

_PAPER: dict[str, object] = {"start_from": "none"}
_COLLAGE: dict[str, object] = {"preset": None, "generator": "collage"}
_LARGE_FIRST = {"cutout_scale": "0.7,0.95", "cutout_scale_end": "0.3,0.7"}

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
    "from paper": _PAPER,
    "from paper, no background": {**_PAPER, "loss": ("background=0",)},
    "no background": {"loss": ("background=0",)},
    "background 1": {"loss": ("background=1",)},
    "background first": {"loss": ("background=1:0:0.5",)},
    "best of 4": {"starts": 4},
    "predicted alone": {"steps": 0},
    "coarse to fine": {"coarse_to_fine": 2},
    "rate that rises": {"lr_warmup": 0.1},
    "large crops first": {**_LARGE_FIRST},
    "text-off": {"loss": ("text-off=0.3",)},
    "lively": {"loss": ("saturation=0.5",)},
    "open lights": {"loss": ("range=5",)},
    "sharp": {"loss": ("sharpness=0.3:0.5:1",)},
    "smooth layers": {"loss": ("smooth=0.3",)},
    "palette of four": {"palette": "navy,crimson,#f6e7c1,white"},
    "noise on latents": {"latent_noise": 0.01},
    "mix of 5": {"mix": 5, "starts": 10},
    "best of 8 from noise": {"option": ("start=noise",), "starts": 8},
    "cutouts of FuseDream": {"cutout_method": "fusedream"},
    "symmetry": {"loss": ("symmetry=1",)},
    "evolved": {"evolve": 10},
    "from paper, mix of 5": {**_PAPER, "mix": 5, "starts": 10},
    "from paper, best of 8": {**_PAPER, "starts": 8},
    "from paper, evolved": {**_PAPER, "evolve": 10},
    "from paper, coarse to fine": {**_PAPER, "coarse_to_fine": 2},
    "from paper, large crops first": {**_PAPER, **_LARGE_FIRST},
    "from paper, plain tower": {**_PAPER, "perceptor": ("embedded",)},
    "lines": {"generator": "lines", "option": ()},
    "lines, plain tower": {"generator": "lines", "option": (), "perceptor": ("embedded",)},
    "siren": {"generator": "siren", "option": ()},
    "siren, plain tower": {"generator": "siren", "option": (), "perceptor": ("embedded",)},
    "vqgan": {"preset": "paint-vqgan"},
    "vqgan, one grid": {"preset": "paint-vqgan", "option": ("scales=1",)},
    "vqgan, a code for each place": {"preset": "paint-vqgan", "option": ("start=codes",)},
    "vqgan, plain tower": {"preset": "paint-vqgan", "perceptor": ("embedded",)},
    "vqgan, no total variation": {"preset": "paint-vqgan", "loss": ("tv=0",)},
    "vqgan, smooth layers": {"preset": "paint-vqgan", "loss": ("smooth=0.3",)},
    "vqgan, noise on latents": {"preset": "paint-vqgan", "latent_noise": 0.05},
    "vqgan, best of 8": {"preset": "paint-vqgan", "starts": 8},
    "fourier": {"generator": "fourier", "option": ()},
    "collage": _COLLAGE,
    "collage, one start": {**_COLLAGE, "starts": 1},
    "collage, no steps": {**_COLLAGE, "steps": 0},
    "collage, evolved": {**_COLLAGE, "evolve": 10},
    "collage, text-off": {**_COLLAGE, "loss": ("text-off=0.3",)},
    "collage, robust tower": {**_COLLAGE, "perceptor": ("embedded/robust",)},
    "collage, both towers": {**_COLLAGE, "perceptor": ("embedded@0.5", "embedded/robust@0.5")},
    # what `guidegen PROMPT` makes, at its own size
    "bare run": {"preset": None, "size": None, "steps": None},
}


def main(words: list[str] | None = None) -> int:
    """Paint what is missing, then print a line a variant; 1 if something is missing still."""
    parser = _parser()
    args = parser.parse_args(words)
    unknown = set(args.variants) - set(VARIANTS)
    if unknown:
        parser.error(f"no such variant: {', '.join(sorted(unknown))}; there are {list(VARIANTS)}")
    prompts = all_prompts()
    if args.prompts > len(prompts):
        parser.error(f"there are {len(prompts)} prompts")
    shared: dict[str, object] = {"preset": "paint", "size": args.size}
    shared |= {"steps": args.steps} if args.steps is not None else {}
    if args.perceptor:
        shared["perceptor"] = (args.perceptor,)
    results = Results(args.results)
    painter = Painter(args.judge, tuple(prompts), args.device)
    missing = work_off(
        list(to_paint(args, shared, prompts, results)),
        painter,
        results,
        processes=args.processes,
        seconds=args.limit,
    )
    report(results.rows, args.variants, shared, len(prompts))
    return int(missing > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("variants", nargs="*", default=["preset"], help=f"of: {list(VARIANTS)}")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", default="128")
    parser.add_argument("--steps", type=int, help="left out: each preset's own")
    parser.add_argument("--judge", default=JUDGE)
    parser.add_argument("--perceptor", help="in place of embedded/robust")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=1, help="more of them: one thread each")
    parser.add_argument(
        "--together", type=int, default=1, help="pictures that advance as one batch"
    )
    parser.add_argument(
        "--limit", type=float, default=inf, help="seconds; none is begun after that"
    )
    return parser


@dataclass(frozen=True)
class Wanted:
    """A picture to paint and judge: its key in the results, its settings, its prompt's number."""

    key: str
    settings: dict[str, object]
    number: int


def to_paint(
    args: argparse.Namespace, shared: dict[str, object], prompts: list[str], results: Results
) -> Iterator[list[Wanted]]:
    """What is not there yet, `args.together` pictures of a variant at a time."""
    for seed in range(args.seeds):
        for numbers in batched(range(args.prompts), args.together):
            for variant in args.variants:
                wanted = [one_of(variant, shared, prompts, number, seed) for number in numbers]
                if missing := [one for one in wanted if one.key not in results.rows]:
                    yield missing


def batched(numbers: range, size: int) -> Iterator[range]:
    """Parts of a range, in order, the last one shorter."""
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def one_of(
    variant: str, shared: dict[str, object], prompts: list[str], number: int, seed: int
) -> Wanted:
    """The picture of a variant, a prompt and a seed; a setting None is left to its default."""
    merged = {**shared, **VARIANTS[variant], "prompt": prompts[number], "seed": seed}
    key = key_of(variant, shared, len(prompts), prompts[number], seed)
    return Wanted(key, {name: of for name, of in merged.items() if of is not None}, number)


def key_of(variant: str, shared: dict[str, object], among: int, prompt: str, seed: int) -> str:
    """All that decides the figures of a picture."""
    settings = {**shared, **VARIANTS[variant], "prompt": prompt, "seed": seed}
    return json.dumps({**settings, "variant": variant, "among": among}, sort_keys=True)


@dataclass(frozen=True)
class Painter:
    """Paints and judges; loads the judge when it is first wanted, in whatever process.

    Attributes:
        judge: as `--judge`.
        prompts: that it ranks.
        device: where pictures are painted; it does not tell results apart.
    """

    judge: str
    prompts: tuple[str, ...]
    device: str

    def __call__(self, wanted: list[Wanted]) -> dict[str, dict[str, Any]]:
        """Figures by key; "seconds" are those of the batch by its pictures."""
        judge = load_judge(self.judge, self.prompts)
        began = time.perf_counter()
        configs = [make_config({**one.settings, "device": self.device}) for one in wanted]
        pictures = list(generate(configs, write=False))
        seconds = (time.perf_counter() - began) / len(wanted)
        by_prompt = {(p.config.prompt, p.config.seed): p.image for p in pictures}
        found = {}
        for one in wanted:
            scores = judge.scores(by_prompt[one.settings["prompt"], one.settings["seed"]])
            about = {"seconds": seconds, "device": pictures[0].config.device}
            found[one.key] = {**standing(scores, one.number), **about}
            if one.settings["prompt"] in named_things():
                named = [self.prompts.index(name) for name in named_things()]
                among_them = standing(scores[named], named.index(one.number))
                found[one.key]["first of the named"] = among_them["first"]
        return found


@cache
def load_judge(spec: str, prompts: tuple[str, ...]) -> Judge:
    """Once a process."""
    return Judge(spec, list(prompts))


def report(
    done: dict[str, dict[str, float]],
    variants: list[str],
    shared: dict[str, object],
    among: int,
) -> None:
    """Print a line a variant, over all that was painted with the same shared settings."""
    by_variant: dict[str, dict[tuple[str, int], dict[str, float]]] = {v: {} for v in variants}
    for key, figures in done.items():
        about = json.loads(key)
        variant, prompt, seed = about["variant"], about["prompt"], about["seed"]
        if variant in by_variant and key == key_of(variant, shared, among, prompt, seed):
            by_variant[variant][prompt, seed] = figures
    base = by_variant[variants[0]]
    for variant, figures in by_variant.items():
        above = mean_of(figures)
        first = mean_of(figures, "first")
        named = [f["first of the named"] for f in figures.values() if "first of the named" in f]
        gain = mean_of(
            {k: {"above": f["above"] - base[k]["above"]} for k, f in figures.items() if k in base}
        )
        seconds = statistics.median([f["seconds"] for f in figures.values()] or [0.0])
        print(
            f"{variant}: {above} above the others, first {first} of {len(figures)}, "
            f"{sum(named):.0f} of {len(named)} among the named; gain {gain}; {seconds:.2f} s each"
        )


def mean_of(figures: dict[tuple[str, int], dict[str, float]], name: str = "above") -> str:
    """Mean over prompts and its standard error."""
    mean, error = mean_and_error((prompt, of[name]) for (prompt, _), of in figures.items())
    return "too few" if error is None else f"{mean:.2f} ± {error:.2f}"


if __name__ == "__main__":
    sys.exit(main())

"""Quality of a generator or preset, judged by a CLIP that never guides.

    python -m tests.benchmarks.quality --suite ours --preset paint --prompts 20 --out quality/paint
    python -m tests.benchmarks.quality --suite drawbench --suite-file DrawBench.csv \
        --preset vqgan --judge ViT-L-14/dfn2b --out quality/vqgan
    python -m tests.benchmarks.quality --suite parti --suite-file PartiPrompts.tsv \
        --generator biggan/deep-256 --perceptor ViT-B-32/openai --set steps=300 --out quality/biggan
    python -m tests.benchmarks.quality --suite hpd --suite-file benchmark \
        --preset vqgan-clip --hps HPS_v2_compressed.pt --out quality/hpd

`ours` are the prompts of this folder. DrawBench (Saharia et al. 2022) and PartiPrompts (Yu et al.
2022) are read from a file with a head, whose column is called Prompt or Prompts; a column Category
is reported part by part. `hpd` is the benchmark of HPS v2: four lists of 800 prompts, in the folder
`benchmark` of the hub's data set zhwang/HPDv2; published are 26.39 for VQGAN+CLIP and 25.28 for
FuseDream, means over its four styles. The folder keeps a PNG of each picture, so that other scorers
can read it.

R-precision: how often the judge ranks the right one of all prompts of the suite first (Park et al.
2021). CLIP score: 100 times the cosine of picture and prompt. `--hps HPS_v2.1_compressed.pt` adds
HPS v2, of pictures that the folder holds already too. Errors are over prompts. Memory is the peak
of the process while it draws, with the judge in it, which computes on the CPU; on a GPU also that
of the device. What the folder holds already is not drawn again.
"""

import argparse
import hashlib
import json
import platform
import resource
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from guidegen.config import RunConfig, make_config
from guidegen.engine.generate import generate
from guidegen.errors import GuidegenError
from guidegen.weights.store import sha256_file
from tests.benchmarks.hps import HumanPreference, read_state
from tests.benchmarks.judging import HERE, JUDGE, Judge, Results, mean_and_error
from tests.benchmarks.suites import SUITES, SuiteError, as_written, read_suite

_SIDE = 160
Row = dict[str, Any]


def main(words: list[str] | None = None) -> int:
    """Draw what is missing, then write report.json and report.html; the exit code."""
    args = _parser().parse_args(words)
    try:
        suite = read_suite(args.suite, args.suite_file)
        prompts = list(suite)
        settings = _settings(args)
        count = len(prompts) if args.prompts is None else args.prompts
        if not 1 <= count <= len(prompts):
            raise SuiteError(f"--prompts: {count} of {len(prompts)} can't be drawn")
        if args.seeds < 1:
            raise SuiteError(f"--seeds: draw at least 1, not {args.seeds}")
        config = _config(settings, prompts[0], 0)
        _check_judge(args.judge, config)
        args.out.mkdir(parents=True, exist_ok=True)
        if args.hps is not None:
            read_state(args.hps)  # refused before anything is drawn
        rows = _draw(args, settings, prompts, count)
        if args.hps is not None:
            _add_hps(args.hps, args.out, rows)
    except (SuiteError, GuidegenError, OSError) as error:
        print(f"quality: {error}", file=sys.stderr)
        return 2
    for row in rows:
        row["category"] = suite[row["prompt"]]
    about = {
        "suite": args.suite,
        "settings": settings,
        "generator": config.generator,
        "perceptors": list(config.perceptor),
        "judge": args.judge.replace(str(HERE), "tests/benchmarks"),
        "hps": args.hps.name if args.hps else None,
        "ranked_among": len(prompts),
        "versions": {
            "guidegen": version("guidegen"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    found = report(about, rows)
    (args.out / "report.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    (args.out / "report.html").write_text(_page(found), encoding="utf-8")
    for name in ("r_precision", "clip_score", "above", "hps"):
        if name in found["whole"]:
            print(f"{name}: {told(found['whole'][name])}")
    print(f"{args.out / 'report.html'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=SUITES, default="ours")
    parser.add_argument("--suite-file", type=Path, help="what is read of the others")
    parser.add_argument("--preset")
    parser.add_argument("--generator")
    parser.add_argument("--perceptor", action="append")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--judge", default=JUDGE, help="a CLIP that does not guide")
    parser.add_argument("--hps", type=Path, help="published weights of HPS v2 or v2.1")
    parser.add_argument("--prompts", type=int, help="only the first ones; ranked among all")
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each prompt")
    parser.add_argument("--out", type=Path, required=True)
    return parser


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """RunConfig fields that the user named."""
    settings: dict[str, Any] = {}
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals or name in ("prompt", "seed", "out", "judge"):
            raise SuiteError(f"--set: {text!r} is no FIELD=VALUE that all pictures can share")
        settings[name.replace("-", "_")] = value
    named = {"preset": args.preset, "generator": args.generator, "perceptor": args.perceptor}
    return settings | {name: value for name, value in named.items() if value is not None}


def _config(settings: dict[str, Any], prompt: str, seed: int) -> RunConfig:
    return make_config({**settings, "prompt": as_written(prompt), "seed": seed})


def _check_judge(judge: str, config: RunConfig) -> None:
    """Refuse a judge that guides."""
    if judge in {spec.rpartition("@")[0] or spec for spec in config.perceptor}:
        raise SuiteError(f"--judge: {judge} guides the pictures; take another CLIP")


def _draw(
    args: argparse.Namespace, settings: dict[str, Any], prompts: list[str], count: int
) -> list[Row]:
    """One row for each picture, in the order of prompts and seeds."""
    results = Results(args.out / "results.jsonl")
    among = hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:16]
    shared = {"settings": settings, "judge": args.judge, "among": among}
    judge: Judge | None = None
    rows = []
    for number, prompt in enumerate(prompts[:count]):
        for seed in range(args.seeds):
            key = json.dumps({**shared, "prompt": prompt, "seed": seed}, sort_keys=True)
            name = hashlib.sha256(key.encode()).hexdigest()[:16]
            picture = args.out / "pictures" / f"{name}.png"
            if key not in results.rows or not picture.is_file():
                judge = judge or Judge(args.judge, prompts)
                image, figures = _draw_one(_config(settings, prompt, seed))
                _save(image, picture, args.out / "thumbs" / f"{name}.webp")
                results.add(key, {**figures, **judge(image, number)})
            row = {"prompt": prompt, "seed": seed, "name": name, **results.rows[key]}
            rows.append({**row, "best": prompts[row["best"]]})
    return rows


def _add_hps(weights: Path, out: Path, rows: list[Row]) -> None:
    """Give each row its score of HPS v2, read from its picture; scores are kept beside results."""
    results = Results(out / "hps.jsonl")
    digest = sha256_file(weights)
    preference: HumanPreference | None = None
    for row in rows:
        key = f"{digest} {row['name']}"
        if key not in results.rows:
            preference = preference or HumanPreference(weights)
            with Image.open(out / "pictures" / f"{row['name']}.png") as image:
                results.add(key, {"hps": preference.score(image, row["prompt"])})
        row |= results.rows[key]


def _draw_one(config: RunConfig) -> tuple[Image.Image, dict[str, float]]:
    began = time.perf_counter()
    (picture,) = generate([config], write=False)
    figures = {"seconds": time.perf_counter() - began, "megabytes": _peak()}
    if torch.cuda.is_available():
        figures["gpu_megabytes"] = torch.cuda.max_memory_allocated() / 2**20
    return picture.image, figures


def _peak() -> float:
    """Most memory that this process had so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _save(image: Image.Image, path: Path, thumbnail: Path) -> None:
    for folder in (path.parent, thumbnail.parent):
        folder.mkdir(exist_ok=True)
    image.save(path)
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    small.save(thumbnail, "WEBP", quality=82)


def report(about: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """All figures, of the whole and of each category.

    Args:
        about: what was drawn and how.
        rows: of `_draw`, with categories.
    """
    categories = sorted({row["category"] for row in rows} - {""})
    return {
        **about,
        "whole": _figures(rows),
        "categories": {
            name: _figures([row for row in rows if row["category"] == name]) for name in categories
        },
        "pictures": rows,
    }


def _figures(rows: list[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompts": len({row["prompt"] for row in rows}),
        "pictures": len(rows),
        "r_precision": mean_and_error((row["prompt"], row["first"]) for row in rows),
        "clip_score": mean_and_error((row["prompt"], 100 * row["cosine"]) for row in rows),
        "above": mean_and_error((row["prompt"], row["above"]) for row in rows),
        # the first one loads the models
        "median_seconds": statistics.median(row["seconds"] for row in rows),
    }
    if all("hps" in row for row in rows):
        found["hps"] = mean_and_error((row["prompt"], row["hps"]) for row in rows)
    for name in ("megabytes", "gpu_megabytes"):
        if any(name in row for row in rows):
            found[f"peak_{name}"] = max(row.get(name, 0.0) for row in rows)
    return found


def told(value: tuple[float | None, float | None]) -> str:
    """Mean and error for people."""
    mean, error = value
    if mean is None:
        return "no pictures"
    return f"{mean:.3g}" if error is None else f"{mean:.3g} ± {error:.2g}"


def _page(found: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["told"] = told
    return environment.get_template("quality.html").render(found)


if __name__ == "__main__":
    sys.exit(main())

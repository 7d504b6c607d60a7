"""R-precision: does a CLIP that never guided rank the right prompt first?

    python -m tests.benchmarks.r_precision [--judge DIR] [--seed 0] [--out DIR]

Makes a picture for each of the 64 prompts of rprecision_prompts.txt with the defaults, then asks
the judge, a second CLIP that was trained from another seed and on other drawings, which of the 64
prompts fits each picture best (Park et al. 2021, "Benchmark for Compositional Text-to-Image
Synthesis").
"""

import argparse
from pathlib import Path

from guidegen.config import make_config
from guidegen.engine.generate import generate
from tests.benchmarks.judging import JUDGE, Judge, named_things


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judge", default=JUDGE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    args = parser.parse_args()
    prompts = named_things()
    judge = Judge(args.judge, prompts)
    configs = [make_config({"prompt": p, "seed": args.seed, "out": args.out}) for p in prompts]
    right = 0
    for picture in generate(configs):
        prompt = picture.config.prompt
        told = judge(picture.image, prompts.index(prompt))
        right += int(told["first"])
        if not told["first"]:
            best = prompts[int(told["best"])]
            print(f"MISS {prompt!r}: judge says {best!r}; right one is number {told['place']:.0f}")
    print(f"R-precision {right} of {len(prompts)} = {right / len(prompts):.1%} (target 80 %)")


if __name__ == "__main__":
    main()

"""R-precision: does a CLIP that never guided rank the right prompt first?

    python -m tests.benchmarks.r_precision [--judge DIR] [--seed 0] [--out DIR]
    python -m tests.benchmarks.r_precision --preset paint --size 128 --steps 100
    python -m tests.benchmarks.r_precision --preset paint --size 128 --set start_from=none
    python -m tests.benchmarks.r_precision --drawings captioned-cutouts.zip

Makes a picture for each of the 64 prompts of rprecision_prompts.txt, with the defaults or a preset,
then asks the judge, a second CLIP that was trained from another seed and on other drawings, which
fits each picture best (Park et al. 2021, "Benchmark for Compositional Text-to-Image
Synthesis").

With `--drawings` it makes none: the judge ranks the data set's own drawings of these captions, on
paper. What it misses there, no picture can be expected to get right.
"""

import argparse
import io
import json
import zipfile
from pathlib import Path

from PIL import Image

from guidegen.config import make_config
from guidegen.engine.generate import generate
from tests.benchmarks.judging import JUDGE, Judge, named_things

_PAPER = (250, 248, 240, 255)
_OF_EACH = 6  # drawings of a caption that are judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judge", default=JUDGE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    parser.add_argument("--preset")
    parser.add_argument("--size")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--drawings", type=Path, help="a data set whose drawings are judged")
    args = parser.parse_args()
    prompts = named_things()
    judge = Judge(args.judge, prompts)
    if args.drawings:
        judge_drawings(judge, prompts, args.drawings)
        return
    given = {name: getattr(args, name) for name in ("seed", "out", "preset", "size", "steps")}
    shared = {name: value for name, value in given.items() if value is not None}
    shared |= dict(text.split("=", 1) for text in args.set)
    configs = [make_config({**shared, "prompt": prompt}) for prompt in prompts]
    right = 0
    for picture in generate(configs):
        prompt = picture.config.prompt
        told = judge(picture.image, prompts.index(prompt))
        right += int(told["first"])
        if not told["first"]:
            best = prompts[int(told["best"])]
            print(f"MISS {prompt!r}: judge says {best!r}; right one is number {told['place']:.0f}")
    print(f"R-precision {right} of {len(prompts)} = {right / len(prompts):.1%}")


def judge_drawings(judge: Judge, prompts: list[str], path: Path) -> None:
    """Print how often the judge is right about drawings that are known to be right."""
    with zipfile.ZipFile(path) as file:
        rows = [json.loads(line) for line in file.read("captions.jsonl").decode().splitlines()]
        shares = []
        for number, prompt in enumerate(prompts):
            name = prompt.removeprefix("a slice of ").removeprefix("a cup of ")
            name = name.removeprefix("a ").removeprefix("an ").removeprefix("the ")
            of_it = [row for row in rows if row["caption"].lower() == name][:_OF_EACH]
            told = [judge(on_paper(file.read(row["file"])), number)["first"] for row in of_it]
            if told:
                shares.append(sum(told) / len(told))
    print(
        f"the judge ranks {sum(shares) / len(shares):.1%} of the drawings first "
        f"(mean over {len(shares)} prompts that the data set has)"
    )


def on_paper(data: bytes) -> Image.Image:
    """A drawing on paper, with some room around it."""
    with Image.open(io.BytesIO(data)) as opened:
        drawing = opened.convert("RGBA")
    side = round(max(drawing.size) * 1.3)
    paper = Image.new("RGBA", (side, side), _PAPER)
    paper.alpha_composite(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
    return paper.convert("RGB")


if __name__ == "__main__":
    main()

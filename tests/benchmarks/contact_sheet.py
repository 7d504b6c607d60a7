"""A contact sheet of a prompt list, one picture a prompt, with its words.

python tests/benchmarks/contact_sheet.py prompts/first-light.txt docs/first-light.webp
... prompts/first-light.txt docs/painted.webp --set preset=paint
"""

import argparse
from pathlib import Path

from guidegen.config import make_config
from guidegen.engine.generate import generate
from guidegen.media.contact_sheet import contact_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    settings = dict(text.split("=", 1) for text in args.set)
    lines = args.prompts.read_text(encoding="utf-8").splitlines()
    prompts = [line for line in lines if line.strip() and not line.startswith("#")]
    configs = [
        make_config({**settings, "prompt": p, "seed": args.seed, "out": args.out}) for p in prompts
    ]
    # pictures found from an earlier run come first: put them back in the list's order
    made = {picture.config.prompt: picture.path for picture in generate(configs)}
    pictures = [(path, prompt) for prompt in prompts if (path := made[prompt])]
    sheet = contact_sheet(pictures, columns=args.columns, side=args.side)
    args.sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(args.sheet, quality=85)


if __name__ == "__main__":
    main()

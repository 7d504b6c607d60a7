"""A contact sheet of a prompt list, one picture a prompt, with its words.

python tests/benchmarks/contact_sheet.py prompts/first-light.txt docs/first-light.webp
"""

import argparse
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from guidegen.config import make_config
from guidegen.engine import generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    args = parser.parse_args()
    lines = args.prompts.read_text(encoding="utf-8").splitlines()
    prompts = [line for line in lines if line.strip() and not line.startswith("#")]
    configs = [make_config({"prompt": p, "seed": args.seed, "out": args.out}) for p in prompts]
    # pictures found from an earlier run come first: put them back in the list's order
    made = {picture.config.prompt: picture for picture in generate(configs)}
    pictures = [made[config.prompt] for config in configs]
    side, label = args.side, 34
    rows = -(-len(pictures) // args.columns)
    sheet = Image.new("RGB", (args.columns * side, rows * (side + label)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for i, picture in enumerate(pictures):
        x, y = i % args.columns * side, i // args.columns * (side + label)
        sheet.paste(
            picture.image.resize((side - 4, side - 4), Image.Resampling.LANCZOS), (x + 2, y)
        )
        text = "\n".join(textwrap.wrap(picture.config.prompt, 32)[:2])
        draw.multiline_text((x + side / 2, y + side), text, "black", font, "ma", align="center")
    args.sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(args.sheet, quality=85)


if __name__ == "__main__":
    main()

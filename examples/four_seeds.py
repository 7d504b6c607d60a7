"""One prompt from four seeds, side by side, nearest to the words first.

python examples/four_seeds.py "a lighthouse on a cliff"
"""

import sys
from typing import Any

from PIL import Image

import guidegen


def main(prompt: str = "a red apple", **settings: Any) -> Image.Image:
    """The four pictures in a row; `settings` are any of guidegen's."""
    pictures = [guidegen.generate(prompt, seed=seed, **settings) for seed in range(4)]
    pictures.sort(key=lambda picture: picture.scores["similarity embedded"], reverse=True)
    for picture in pictures:
        print(f"{picture.scores['similarity embedded']:.3f}  {picture.path}")
    width, height = pictures[0].image.size
    row = Image.new("RGB", (4 * width, height))
    for number, picture in enumerate(pictures):
        row.paste(picture.image, (number * width, 0))
    return row


if __name__ == "__main__":
    main(*sys.argv[1:2]).save("four-seeds.png")

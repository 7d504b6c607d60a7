"""A run step by step: small previews, and a stop when it gets no better.

python examples/watch.py "a sailboat at sunset"
"""

import sys
from typing import Any

from PIL import Image

import guidegen

PATIENCE = 20  # steps without a better loss


def main(prompt: str = "a red apple", **settings: Any) -> list[Image.Image]:
    """Previews of every tenth step."""
    previews: list[Image.Image] = []
    best, since = float("inf"), 0
    with guidegen.stream(prompt, **settings) as stream:
        for step in stream:
            best, since = (step.loss, 0) if step.loss < best else (best, since + 1)
            if step.index % 10 == 0:
                previews.append(step.preview(128))
                print(f"step {step.index}: loss {step.loss:.3f}")
            if since == PATIENCE:
                stream.stop()  # keeps the best so far; the same call would go on from here
    if stream.picture is not None:
        print(stream.picture.path)
    return previews


if __name__ == "__main__":
    shown = main(*sys.argv[1:2])
    shown[0].save("watch.gif", save_all=True, append_images=shown[1:], duration=200)

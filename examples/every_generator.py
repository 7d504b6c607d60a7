"""The same prompt by every generator that needs no download.

python examples/every_generator.py "a red apple"
"""

import sys
from typing import Any

from PIL import Image

import guidegen
from guidegen.registry import backends

DOWNLOADED = ("biggan",)  # `guidegen models pull` fetches its weights


def names() -> list[str]:
    """What can draw with what is there."""
    found = []
    for name, backend in backends().items():
        for variant in backend.variants:
            if name not in DOWNLOADED and variant in ("", "embedded"):
                found.append(f"{name}/{variant}".rstrip("/"))
    return found


def main(prompt: str = "a red apple", **settings: Any) -> dict[str, Image.Image]:
    """Generator -> its picture."""
    pictures = {}
    for name in names():
        picture = guidegen.generate(prompt, generator=name, **settings)
        print(f"{name:<16} {picture.path}")
        pictures[name] = picture.image
    return pictures


if __name__ == "__main__":
    main(*sys.argv[1:2])

"""A tiny data set of coloured shapes, made on the spot."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from guidegen.training.data.dataset import CaptionedImages

SHAPES = ("circle", "square", "cross", "bar")
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}


def shape_picture(shape, rgb, size=32):
    picture = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(picture)
    box = (4, 4, size - 4, size - 4)
    if shape == "circle":
        draw.ellipse(box, fill=rgb)
    elif shape == "square":
        draw.rectangle(box, fill=rgb)
    elif shape == "bar":
        draw.rectangle((4, 12, size - 4, 20), fill=rgb)
    else:
        draw.line(box, fill=rgb, width=6)
        draw.line((4, size - 4, size - 4, 4), fill=rgb, width=6)
    return picture


@pytest.fixture
def shapes(tmp_path):
    """A folder with captions.jsonl: 12 drawings for training, 4 of each other split."""
    folder = tmp_path / "shapes"
    (folder / "images").mkdir(parents=True)
    lines = []
    for split in ("train", "val", "val_concept"):
        for shape in SHAPES:
            for colour, rgb in COLOURS.items():
                if split != "train" and colour != "red":
                    continue
                name = f"images/{split}-{colour}-{shape}.webp"
                shape_picture(shape, rgb).save(folder / name, lossless=True)
                caption = f"{colour} {shape}" if split != "val_concept" else f"{shape} thing"
                lines.append(
                    {
                        "file": name, "caption": caption, "keywords": [shape, "shape"],
                        "style": "flat icon", "colors": [[colour, 0.9]], "split": split,
                        "concept": caption.replace(" ", "-"), "extra": 1,
                    }
                )  # fmt: skip
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture
def train_set(shapes):
    data = CaptionedImages(shapes, split="train")
    return data.images(64), data.records


@pytest.fixture
def noise():
    return np.random.default_rng(0)

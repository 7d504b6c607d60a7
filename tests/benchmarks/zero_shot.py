"""How well the embedded CLIP names drawings that it has not seen, without and with templates.

    python -m tests.benchmarks.zero_shot captioned-cutouts.zip
    python -m tests.benchmarks.zero_shot captioned-cutouts.zip --words --templates ""
    python -m tests.benchmarks.zero_shot captioned-cutouts.zip --words --ignore-text --templates ""

Unpacks the split `val` (its drawings took no part in training; other drawings of the same things
did) into a folder for each caption, classifies each among all captions, and prints what
`guidegen classify FOLDER --accuracy` prints, for several templates. With --words another name
is written over each picture first, to see whether the model reads it; with --ignore-text words are
painted over again.
"""

import argparse
import io
import json
import random
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from guidegen.zero_shot.classify import Classification, accuracy, classify

# Pixels of the written words, and letters that fit on a picture of 128 pixels.
_FONT, _LONGEST = 22, 11
TEMPLATES = ("", "a drawing of {}", "a photo of {}", "imagenet")


def unpack(data: Path, folder: Path, split: str = "val") -> None:
    """Write a split's pictures on white, each into a folder named like its caption."""
    with zipfile.ZipFile(data) as file:
        for number, line in enumerate(file.read("captions.jsonl").splitlines()):
            record = json.loads(line)
            if record["split"] != split:
                continue
            with Image.open(io.BytesIO(file.read(record["file"]))) as image:
                image = image.convert("RGBA")
            plain = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            place = folder / record["caption"].replace("/", " ")
            place.mkdir(parents=True, exist_ok=True)
            plain.convert("RGB").save(place / f"{number:05}.png")


def write_words(folder: Path, labels: list[str]) -> None:
    """Write another label's name over the middle of every picture, black with a white edge."""
    rng = random.Random(0)
    font = ImageFont.load_default(_FONT)
    for path in sorted(folder.glob("*/*.png")):
        word = rng.choice([label for label in labels if label != path.parent.name])
        with Image.open(path) as image:
            image = image.convert("RGB")
        middle = (image.width / 2, image.height / 2)
        ImageDraw.Draw(image).text(
            middle, word, "black", font, "mm", stroke_width=2, stroke_fill="white"
        )
        about = PngInfo()
        about.add_text("word", word)
        image.save(path, pnginfo=about)


def followed(found: list[Classification]) -> float:
    """Share of pictures that are taken for what is written on them."""
    count = 0
    for each in found:
        with Image.open(each.path) as image:
            count += each.label == image.text["word"]
    return count / len(found)


def main(data: Path, templates: tuple[str, ...], *, words: bool, ignore_text: bool) -> None:
    """Print a line for each template, and what is taken for what."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        unpack(data, folder)
        labels = sorted(path.name for path in folder.iterdir())
        if words:
            labels = [label for label in labels if len(label) <= _LONGEST]
            for path in folder.iterdir():
                if path.name not in labels:
                    shutil.rmtree(path)
            write_words(folder, labels)
        print(f"{len(labels)} labels")
        for number, template in enumerate(templates):
            start = time.monotonic()
            found = classify(folder, labels, template=template, top=5, ignore_text=ignore_text)
            figures = accuracy(found)
            print(
                f"{template or 'none':<16} {figures.pictures} pictures: top-1 {figures.top1:.1%}, "
                f"top-5 {figures.top5:.1%}; {time.monotonic() - start:.0f} s",
                flush=True,
            )
            if words:
                print(f"taken for what is written on them: {followed(found):.1%}")
            elif number == 0:
                confusions(found)


def confusions(found: list[Classification]) -> None:
    """Print what is often or surely taken for what."""
    print("\nTaken for something else, more than once:")
    for right, said, count in accuracy(found).confusions:
        if count > 1:
            print(f"  {count} x {right} -> {said}")
    print("\nThe surest mistakes:")
    wrong = [each for each in found if each.label != each.path.parent.name]
    for each in sorted(wrong, key=lambda each: -each.probabilities[0])[:25]:
        print(f"  {each.path.parent.name} -> {each.label} ({each.probabilities[0]:.0%})")
    print(flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--templates", nargs="+", default=list(TEMPLATES))
    parser.add_argument("--words", action="store_true", help="write a wrong word on each picture")
    parser.add_argument("--ignore-text", action="store_true", help="paint words over first")
    given = parser.parse_args()
    main(given.data, tuple(given.templates), words=given.words, ignore_text=given.ignore_text)

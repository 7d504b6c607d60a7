"""How well the embedded CLIP names drawings that it has not seen, without and with templates.

    python -m tests.benchmarks.zero_shot captioned-cutouts.zip

Unpacks the split `val` (its drawings took no part in training; other drawings of the same things
did) into a folder for each caption, classifies each among all captions, and prints what
`guidegen classify FOLDER --accuracy` prints, for several templates.
"""

import io
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from PIL import Image

from guidegen.zero_shot.classify import accuracy, classify

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


def main(data: Path) -> None:
    """Print a line for each template, and what is taken for what."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        unpack(data, folder)
        labels = sorted(path.name for path in folder.iterdir())
        print(f"{len(labels)} labels")
        for template in TEMPLATES:
            start = time.monotonic()
            found = classify(folder, labels, template=template, top=5)
            figures = accuracy(found)
            print(
                f"{template or 'none':<16} {figures.pictures} pictures: top-1 {figures.top1:.1%}, "
                f"top-5 {figures.top5:.1%}; {time.monotonic() - start:.0f} s",
                flush=True,
            )
            if not template:
                confusions = figures.confusions
                sure = sorted(
                    (each for each in found if each.label != each.path.parent.name),
                    key=lambda each: -each.probabilities[0],
                )
        print("\nTaken for something else, more than once:")
        for right, said, count in confusions:
            if count > 1:
                print(f"  {count} x {right} -> {said}")
        print("\nThe surest mistakes:")
        for each in sure[:25]:
            print(f"  {each.path.parent.name} -> {each.label} ({each.probabilities[0]:.0%})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

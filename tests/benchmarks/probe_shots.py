"""A probe on frozen features against zero-shot, over the number of pictures of each label.

    python -m tests.benchmarks.probe_shots captioned-cutouts.zip --figure docs/probe-shots.svg

Two tasks: scikit-learn's handwritten digits (8x8 pixels, enlarged; 300 to learn from, 500 to test
on), and telling the groups of the captioned drawings apart (learned from drawings of the split
train, tested on those of the other two). Mean accuracy over several draws, as in CLIP's paper
(Radford et al. 2021, figure 6). The faces that scikit-learn knows would have to be downloaded.
"""

import argparse
import random
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from guidegen.zero_shot.labels import text_classifier
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import encode, encode_images, preprocess
from guidegen.zero_shot.probe import fit
from tests.benchmarks.curves import write_curves
from tests.benchmarks.search_drawings import captions, processor

SHOTS, DRAWS = (1, 2, 4, 8, 16), 5
# Drawings that a group must have to learn from, how many of each are looked at, and to test on.
_LEARN, _MOST, _TEST = 60, 20, 8
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True)
class Task:
    """Features and labels to learn from and to test on."""

    name: str
    labels: tuple[str, ...]
    features: Tensor
    owners: Tensor
    test_features: Tensor
    test_owners: Tensor


def digits() -> Task:
    """Which digit, of pictures that look like nothing that the CLIP was trained on."""
    model = open_clip_model()
    data = load_digits()
    some = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))[:800]
    images = [
        Image.fromarray((255 - data.images[row] * 15).astype("uint8")).convert("RGB")
        for row in some.tolist()
    ]
    parts = [
        encode_images([preprocess(image, model) for image in images[i : i + 32]], model)
        for i in range(0, len(images), 32)
    ]
    features, owners = torch.cat(parts), torch.from_numpy(data.target).long()[some]
    labels = tuple(f"the number {word}" for word in _DIGITS)
    return Task(
        "handwritten digits", labels, features[:300], owners[:300], features[300:], owners[300:]
    )


def groups(data: Path) -> Task:
    """What kind of thing, of drawings."""
    records = captions(data)
    learn, test = {}, {}
    for name, record in records.items():
        side = learn if record["split"] == "train" else test
        side.setdefault(record["group"], []).append(name)
    names = [
        group for group, files in sorted(learn.items())
        if "/" in group and len(files) >= _LEARN and len(test.get(group, ())) >= _TEST
    ]  # fmt: skip
    rng = random.Random(0)
    sides: list[list[tuple[str, int]]] = [[], []]
    for owner, group in enumerate(names):
        some = rng.sample(learn[group], min(_MOST, len(learn[group])))
        sides[0] += [(name, owner) for name in some]
        sides[1] += [(name, owner) for name in test[group]]
    model = open_clip_model()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(data) as file:
            for side in sides:
                for name, _ in side:
                    file.extract(name, folder)
        for side in sides:
            rows = [
                each.feature for each in encode([Path(folder, name) for name, _ in side], model)
            ]
            found += [torch.stack(rows), torch.tensor([owner for _, owner in side])]
    labels = tuple(group.rpartition("/")[2].replace("-", " ") for group in names)
    return Task("kinds of drawings", labels, *found)


def accuracy(logits: Tensor, owners: Tensor) -> float:
    """Share of the highest that are right."""
    return float((logits.argmax(-1) == owners).float().mean())


def drawn(task: Task, shots: int, seed: int) -> Tensor:
    """Rows of that many pictures of each label."""
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(task.owners), generator=rng)
    taken: Counter[int] = Counter()
    rows = []
    for row in order.tolist():
        owner = int(task.owners[row])
        if taken[owner] < shots:
            taken[owner] += 1
            rows.append(row)
    return torch.tensor(rows)


def main(data: Path, figure: Path | None) -> None:
    """Print a table of each task, and draw them."""
    print(processor())
    model = open_clip_model()
    panels = {}
    for task in (digits(), groups(data)):
        labels = task.labels
        print(f"\n{task.name}: {len(labels)} labels, {len(task.test_owners)} pictures to test on")
        words = text_classifier(model, labels)
        zero = accuracy(task.test_features @ words.T, task.test_owners)
        print(f"zero-shot {zero:.1%}, chance {1 / len(labels):.1%}")
        curves = {"zero-shot": [zero] * len(SHOTS)}
        for kind in ("logistic", "cache"):
            curves[kind] = []
            for shots in SHOTS:
                found = []
                for seed in range(DRAWS):
                    rows = drawn(task, shots, seed)
                    probe = fit(task.features[rows], task.owners[rows], labels, model, kind=kind)
                    found.append(accuracy(probe.logits(task.test_features), task.test_owners))
                curves[kind].append(sum(found) / DRAWS)
                spread = max(found) - min(found)
                print(
                    f"{kind:<9} {shots:>2} of each: {curves[kind][-1]:.1%} (spread {spread:.1%})",
                    flush=True,
                )
        panels[task.name] = curves
    if figure is not None:
        write_curves(figure, panels, SHOTS, "pictures of each label")
        print(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    main(given.data, given.figure)

"""Zero-shot classification: which of these labels does a picture show?

Source: Radford et al. 2021 (arXiv:2103.00020), section 3.1.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidegen.zero_shot.ignore_text import wordless
from guidegen.zero_shot.labels import probabilities, read_labels, read_template, text_classifier
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, encode, find_pictures


@dataclass(frozen=True)
class Classification:
    """What a picture shows.

    Attributes:
        path: of the file.
        labels: the most likely first.
        probabilities: of each of them; over all labels that were given they sum to one.
        error: why the picture can't be read, in one line; then there are no labels.
    """

    path: Path
    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""

    @property
    def label(self) -> str:
        """The most likely label; "" if the picture can't be read."""
        return self.labels[0] if self.labels else ""


def classify(
    pictures: Pictures,
    labels: str | Path | Sequence[str],
    *,
    template: str = "",
    perceptor: str = "embedded",
    top: int | None = None,
    ignore_text: bool = False,
    device: str = "auto",
) -> list[Classification]:
    """Say which of the labels each picture shows.

    Args:
        pictures: files and folders.
        labels: as `read_labels` takes them: "a cat,a dog", a file, a folder, "imagenet", a list.
        template: words around each label, like "a photo of {}", or "imagenet" for the mean of 80.
        perceptor: the CLIP, as `--perceptor` takes it.
        top: how many labels to keep for each picture; None keeps all.
        ignore_text: paint over the words that are written on the pictures, so that they are not
            taken for what they show; needs `guidegen[ocr]`.
        device: auto, cpu, cuda, cuda:1 or mps.

    Returns:
        One for each picture, in the order of their names within each folder.

    Raises:
        GuidegenError: labels, template, model or device that can't be used, or no pictures. A
            picture that can't be read raises nothing; its `error` says why.
    """
    return list(
        iterate(
            pictures, labels, template=template, perceptor=perceptor, top=top,
            ignore_text=ignore_text, device=device,
        )
    )  # fmt: skip


def iterate(
    pictures: Pictures,
    labels: str | Path | Sequence[str],
    *,
    template: str = "",
    perceptor: str = "embedded",
    top: int | None = None,
    ignore_text: bool = False,
    device: str = "auto",
) -> Iterator[Classification]:
    """As `classify`, each as soon as it is known."""
    names = read_labels(labels)
    read_template(template)
    prepare = wordless(ignore_text)
    paths = find_pictures(pictures)
    model = open_clip_model(perceptor, device)
    classifier = text_classifier(model, names, template)
    count = len(names) if top is None else min(top, len(names))
    for found in encode(paths, model, prepare=prepare):
        if found.feature is None:
            yield Classification(found.path, error=found.error)
            continue
        best = probabilities(model, found.feature, classifier).topk(count)
        yield Classification(
            found.path,
            tuple(names[index] for index in best.indices.tolist()),
            tuple(best.values.tolist()),
        )


@dataclass(frozen=True)
class Accuracy:
    """How often the right label comes first, or among the first five.

    Attributes:
        pictures: how many there were, those that can't be read left out.
        top1: share whose right label is the most likely one.
        top5: share whose right label is among the five most likely.
        confusions: (right, said instead, how often), the most frequent first.
    """

    pictures: int
    top1: float
    top5: float
    confusions: tuple[tuple[str, str, int], ...]


def accuracy(found: Sequence[Classification]) -> Accuracy:
    """Compare with the truth where each picture lies in a folder named like its label.

    Args:
        found: with five labels each, or all of them where there are fewer.
    """
    known = [each for each in found if each.labels]
    first = sum(each.label == truth(each.path) for each in known)
    fifth = sum(truth(each.path) in each.labels[:5] for each in known)
    wrong = Counter(
        (truth(each.path), each.label) for each in known if each.label != truth(each.path)
    )
    total = max(1, len(known))
    confusions = tuple((right, said, count) for (right, said), count in wrong.most_common())
    return Accuracy(len(known), first / total, fifth / total, confusions)


def truth(path: Path) -> str:
    """The name of the folder that a picture lies in."""
    return path.parent.name

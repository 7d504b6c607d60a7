"""What pictures may be: lists of labels, and the texts that stand for them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.clip.templates import IMAGENET, apply_template
from guidegen.errors import ConfigError
from guidegen.interfaces import Perceptor


def read_labels(given: str | Path | Sequence[str]) -> list[str]:
    """The labels that the user named.

    Args:
        given: labels with commas between them, a text file with one a line (# begins a comment),
            "imagenet" for its thousand classes as open_clip words them, a folder, whose
            subfolders' names they are, or the labels themselves.

    Raises:
        ConfigError: there are none, one is there twice, or the file can't be read.
    """
    if not isinstance(given, str | Path):
        labels = [str(label).strip() for label in given]
    elif str(given).strip() == IMAGENET:
        from open_clip import IMAGENET_CLASSNAMES

        # the list itself says "missile" and "sunglasses" twice
        return list(dict.fromkeys(IMAGENET_CLASSNAMES))
    elif _exists(given):
        labels = _from_folder(Path(given)) if Path(given).is_dir() else _from_file(Path(given))
    elif Path(given).suffix == ".txt" and "," not in str(given):
        raise ConfigError(f"there is no file of labels at {given}")
    else:
        labels = [label.strip() for label in str(given).split(",")]
    labels = [label for label in labels if label]
    if not labels:
        raise ConfigError(f"none in {given!r}; write them like 'a cat,a dog'", field="labels")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ConfigError(f"the label {twice!r} is there twice")
    return labels


def _exists(given: str | Path) -> bool:
    try:
        return bool(str(given).strip()) and Path(given).exists()
    except OSError:  # a name longer than a file system takes
        return False


def _from_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the labels in {path}: {error}") from None
    return [line.strip() for line in lines if not line.lstrip().startswith("#")]


def _from_folder(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )


def read_template(template: str) -> str:
    """A template, checked.

    Raises:
        ConfigError: the label has no place in it.
    """
    if template and template != IMAGENET and "{}" not in template:
        raise ConfigError(
            f"{template!r} needs {{}} where the label goes, like 'a photo of {{}}' (or be "
            "'imagenet')",
            field="template",
        )
    return template


@torch.no_grad()
def text_classifier(perceptor: Perceptor, labels: Sequence[str], template: str = "") -> Tensor:
    """What labels look like in the space of the pictures.

    Args:
        perceptor: the model.
        labels: K of them.
        template: "" for the labels as they are, words with {} in them, or "imagenet".

    Returns:
        [K, d] float32 on the CPU, unit norm: for each label the mean of its templates' unit
        vectors, as open_clip's `build_zero_shot_classifier` and CLIP's paper (section 3.1.4) have
        it.
    """
    texts = [apply_template(label, template) for label in labels]
    count = len(texts[0])
    features = perceptor.encode_text([text for group in texts for text in group])
    means = features.reshape(len(labels), count, -1).mean(1)
    return F.normalize(means, dim=-1).cpu()


def probabilities(perceptor: CLIPPerceptor, features: Tensor, classifier: Tensor) -> Tensor:
    """How likely each label is, among them, at the temperature the model was trained with.

    Args:
        perceptor: whose `logit_scale` counts.
        features: [..., d] of pictures.
        classifier: [K, d].

    Returns:
        [..., K], each row sums to one.
    """
    return (perceptor.logit_scale * features @ classifier.T).softmax(-1)

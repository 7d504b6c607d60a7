"""What a picture shows, as a prompt to start from.

No text is generated: names are taken from a vocabulary, the nearest first, and put together as long
as the whole comes nearer to the picture. Source of the way: CLIP Interrogator by pharmapsychotic
(https://github.com/pharmapsychotic/clip-interrogator).
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.clip.text_features import encode_vocabulary
from guidegen.errors import ConfigError
from guidegen.registry import find
from guidegen.weights.store import embedded
from guidegen.zero_shot.ignore_text import wordless
from guidegen.zero_shot.labels import read_labels
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, encode, find_pictures

DRAWINGS, NOUNS, ALL_NOUNS = "drawings", "nouns", "all-nouns"
# What names can be put into.
_FRAMES = ("a drawing of {}", "a photo of {}", "an icon of {}", "a painting of {}")
_COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey",
    "golden",
)  # fmt: skip
# Names that are tried in the composition, and how many go into it at most.
_SHORTLIST, _MOST = 24, 3
# What a further word has to add to the cosine; less is noise.
_GAIN = 0.01


@dataclass(frozen=True)
class Caption:
    """What a picture shows.

    Attributes:
        path: of the file.
        prompt: names put together.
        similarity: cosine of the prompt and the picture.
        names: the nearest of the vocabulary by themselves, with their cosines.
        error: why the picture can't be read; then there is nothing else.
    """

    path: Path
    prompt: str = ""
    similarity: float = 0.0
    names: tuple[tuple[str, float], ...] = ()
    error: str = ""


def caption(
    pictures: Pictures,
    *,
    vocabulary: str | Path | Sequence[str] = DRAWINGS,
    top: int = 5,
    perceptor: str = "embedded",
    ignore_text: bool = False,
    device: str = "auto",
) -> list[Caption]:
    """Say what pictures show, in words of a vocabulary.

    Args:
        pictures: files and folders.
        vocabulary: "drawings" (what the collage can draw), "nouns" (3,445 usual ones of WordNet),
            "all-nouns" (37,671), or labels as `read_labels` takes them.
        top: how many names to keep by themselves.
        perceptor: the CLIP, as `--perceptor` takes it.
        ignore_text: paint over the words that are written on the pictures; needs `guidegen[ocr]`.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        GuidegenError: a vocabulary, model or device that can't be used, or no pictures.
    """
    words = read_vocabulary(vocabulary)
    prepare = wordless(ignore_text)
    paths = find_pictures(pictures)
    model = open_clip_model(perceptor, device)
    features = encode_vocabulary(model, words, key="caption").cpu()
    found = []
    for each in encode(paths, model, prepare=prepare):
        if each.feature is None:
            found.append(Caption(each.path, error=each.error))
            continue
        best = (features @ each.feature).topk(min(max(top, _SHORTLIST), len(words)))
        names = [words[index] for index in best.indices.tolist()]
        prompt, similarity = compose(model, each.feature, names)
        pairs = tuple(zip(names, best.values.tolist(), strict=True))[:top]
        found.append(Caption(each.path, prompt, similarity, pairs))
    return found


def read_vocabulary(given: str | Path | Sequence[str]) -> list[str]:
    """The names that a caption is made of.

    Raises:
        ConfigError: there are none.
        UnknownNameError: the collage is not installed.
    """
    if given in (NOUNS, ALL_NOUNS):
        return _nouns(usual=given == NOUNS)
    if given != DRAWINGS:
        return read_labels(given)
    backend, variant = find("collage")
    known = backend.load(variant, size=(64, 64), device="cpu").vocabulary
    if known is None:
        raise ConfigError("the collage has no names; give a file of names", field="vocabulary")
    drawings = (entry.name for entry in known.entries if entry.group != "backdrop")
    return list(dict.fromkeys(drawings))


def _nouns(*, usual: bool) -> list[str]:
    """WordNet's words for what can be seen, as `guidegen.training.data.nouns` wrote them."""
    with gzip.open(embedded("nouns") / "nouns.txt.gz", "rt", encoding="utf-8") as file:
        first, _, rest = file.read().partition("\n\n")
    return first.split("\n") if usual else [*first.split("\n"), *rest.split("\n")]


@torch.no_grad()
def compose(model: CLIPPerceptor, feature: Tensor, names: Sequence[str]) -> tuple[str, float]:
    """Put names, a colour and a frame together, greedily, as long as it comes nearer.

    Args:
        model: the CLIP.
        feature: [d] of the picture.
        names: the nearest first.

    Returns:
        The prompt, and its cosine to the picture.
    """
    prompt, similarity = _nearest(model, feature, names[:1])
    steps: list[Callable[[str], list[str]]] = [
        lambda text: [f"{colour} {text}" for colour in _COLOURS if colour not in text.split()],
        *[lambda text: [f"{text}, {name}" for name in names if name not in text]] * (_MOST - 1),
        lambda text: [frame.format(text) for frame in _FRAMES],
    ]
    for further in steps:
        if texts := further(prompt):
            longer, nearer = _nearest(model, feature, texts)
            if nearer > similarity + _GAIN:
                prompt, similarity = longer, nearer
    return prompt, similarity


def _nearest(model: CLIPPerceptor, feature: Tensor, texts: Sequence[str]) -> tuple[str, float]:
    similar = model.encode_text(texts).cpu() @ feature
    place = int(similar.argmax())
    return texts[place], float(similar[place])

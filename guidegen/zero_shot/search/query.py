"""Pictures of a folder by what they show, in words or like another picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.clip.templates import encode_prompt
from guidegen.errors import ConfigError, InputImageError
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.references import parse_image_prompt
from guidegen.zero_shot.ignore_text import wordless
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Prepare, encode
from guidegen.zero_shot.search.index import Index, index_path
from guidegen.zero_shot.search.update import bring_up_to_date


@dataclass(frozen=True)
class Hit:
    """A picture that was found.

    Attributes:
        path: of the file.
        similarity: cosine to what was asked for, -1 to 1.
    """

    path: Path
    similarity: float


def search(
    folder: Path | str,
    text: str = "",
    *,
    images: Sequence[Path | str] = (),
    top: int = 10,
    template: str = "",
    perceptor: str = "embedded",
    ignore_text: bool = False,
    device: str = "auto",
    update: bool = True,
) -> list[Hit]:
    """Find pictures in a folder by words, by pictures, or by both.

    The index lies in the folder and is brought up to date first.

    Args:
        folder: all pictures in it and below.
        text: `text:weight`, parts joined by `|`; a negative weight looks away from it.
        images: pictures to be like, PATH or PATH:WEIGHT.
        top: how many.
        template: words around each text, like "a photo of {}", or "imagenet".
        perceptor: the CLIP, as `--perceptor` takes it.
        ignore_text: paint over the words that are written on the pictures; needs `guidegen[ocr]`.
            Such an index is another one.
        device: auto, cpu, cuda, cuda:1 or mps.
        update: look for new, changed and deleted files first.

    Returns:
        The nearest first.

    Raises:
        GuidegenError: nothing to look for, no folder, a model or device that can't be used.
    """
    where = check_folder(folder)
    check_query(text, images)
    prepare = wordless(ignore_text)
    model = open_clip_model(perceptor, device)
    index = open_index(where, model, ignore_text=ignore_text)
    try:
        if update:
            for _ in bring_up_to_date(where, index, model, prepare=prepare):
                pass
        query = make_query(model, text, images, template, prepare=prepare)
        return [Hit(where / path, value) for path, value in index.nearest(query, top)]
    finally:
        index.close()


def check_folder(folder: Path | str) -> Path:
    """Refuse what is no folder.

    Raises:
        InputImageError: there is none.
    """
    where = Path(folder)
    if not where.is_dir():
        raise InputImageError(f"there is no folder {where} to search in")
    return where


def check_query(text: str, images: Sequence[Path | str]) -> None:
    """Refuse a query that can't be understood, before any work.

    Raises:
        ConfigError: there is nothing to look for.
        InputImageError: a picture is not there.
    """
    if not text.strip() and not images:
        raise ConfigError("say what to look for, in words like 'a red apple' or by a picture")
    if text.strip():
        parse_prompt(text)
    for image in images:
        path = parse_image_prompt(str(image)).path
        if not path.is_file():
            raise InputImageError(f"there is no picture at {path}")


def open_index(
    folder: Path, model: CLIPPerceptor, *, runs: bool = False, ignore_text: bool = False
) -> Index:
    """The index of a folder for one model, as it is; see `index_path`.

    Raises:
        OutputError: it can't be opened or made.
    """
    dim = model.encode_text([""]).shape[1]
    return Index(
        index_path(folder, model.digest, runs=runs, ignore_text=ignore_text), dim, model.digest
    )


@torch.no_grad()
def make_query(
    model: CLIPPerceptor,
    text: str,
    images: Sequence[Path | str],
    template: str = "",
    *,
    prepare: Prepare | None = None,
) -> Tensor:
    """One feature for all that is asked for: the weighted sum of its parts, [d], unit norm.

    Raises:
        InputImageError: a picture can't be read.
    """
    parts = []
    if text.strip():
        for phrase in parse_prompt(text):
            parts.append(phrase.weight * encode_prompt(model, phrase.text, template).cpu())
    wanted = [parse_image_prompt(str(image)) for image in images]
    encoded = encode([each.path for each in wanted], model, prepare=prepare)
    for reference, each in zip(wanted, encoded, strict=True):
        if each.feature is None:
            raise InputImageError(each.error)
        parts.append(reference.weight * each.feature)
    return F.normalize(torch.stack(parts).sum(0), dim=0)

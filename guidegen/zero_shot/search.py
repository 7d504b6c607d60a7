"""Pictures of a folder by what they show, in words or like another picture."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.clip.templates import encode_prompt
from guidegen.errors import ConfigError, InputImageError
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.references import parse_image_prompt
from guidegen.zero_shot.index import Index, State, index_path
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import encode, walk

# Pictures that become part of the index at once; a crash costs no more than these.
_COMMIT = 128
# Features that are compared with all others at once, for duplicates.
_ROWS = 1024


@dataclass(frozen=True)
class Hit:
    """A picture that was found.

    Attributes:
        path: of the file.
        similarity: cosine to what was asked for, -1 to 1.
    """

    path: Path
    similarity: float


@dataclass(frozen=True)
class Update:
    """How far the index is behind the folder, or how it was brought up to date.

    Attributes:
        done: pictures that were looked at.
        total: pictures that are to be looked at.
        error: why the last one can't be read; "" if it could.
    """

    done: int
    total: int
    error: str = ""


def search(
    folder: Path | str,
    text: str = "",
    *,
    images: Sequence[Path | str] = (),
    top: int = 10,
    template: str = "",
    perceptor: str = "embedded",
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
        device: auto, cpu, cuda, cuda:1 or mps.
        update: look for new, changed and deleted files first.

    Returns:
        The nearest first.

    Raises:
        GuidegenError: nothing to look for, no folder, a model or device that can't be used.
    """
    where = check_folder(folder)
    check_query(text, images)
    model = open_clip_model(perceptor, device)
    index = open_index(where, model)
    try:
        if update:
            for _ in bring_up_to_date(where, index, model):
                pass
        query = make_query(model, text, images, template)
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
        raise ConfigError("say what to look for: guidegen search FOLDER 'a red apple', or --image")
    if text.strip():
        parse_prompt(text)
    for image in images:
        path = parse_image_prompt(str(image)).path
        if not path.is_file():
            raise InputImageError(f"there is no picture at {path}")


def open_index(folder: Path, model: CLIPPerceptor) -> Index:
    """The index of a folder for one model, as it is.

    Raises:
        OutputError: it can't be opened or made.
    """
    dim = model.encode_text([""]).shape[1]
    return Index(index_path(folder, model.digest), dim, model.digest)


def bring_up_to_date(folder: Path, index: Index, model: CLIPPerceptor) -> Iterator[Update]:
    """Take in new and changed pictures, forget deleted ones; yields after each picture.

    What was looked at is kept whenever this is stopped. Another process may do the same at the
    same time: each leaves out what the other has added.
    """
    there = _states(folder)
    known = index.states()
    index.remove([path for path in known if path not in there])
    todo = [path for path, state in there.items() if known.get(path) != state]
    # processes that start together begin at different places
    turn = os.getpid() * 7919 % max(1, len(todo))
    waiting = iter(todo[turn:] + todo[:turn])
    done = 0
    while batch := list(islice(waiting, _COMMIT)):
        missing = [path for path in batch if index.state(path) != there[path]]
        done += len(batch) - len(missing)
        found: dict[str, tuple[State, Tensor | str]] = {}
        for each in encode([folder / path for path in missing], model):
            path = str(each.path.relative_to(folder))
            done += 1
            if each.feature is not None:
                found[path] = (there[path], each.feature)
            elif each.path.exists():  # else it was deleted meanwhile
                found[path] = (there[path], each.error)
            yield Update(done, len(todo), each.error if path in found else "")
        index.add(found)


def _states(folder: Path) -> dict[str, State]:
    found = {}
    for path in walk(folder):
        try:
            stat = path.stat()
        except OSError:  # deleted meanwhile, or a link to nothing
            continue
        found[str(path.relative_to(folder))] = State(stat.st_size, stat.st_mtime_ns)
    return found


@torch.no_grad()
def make_query(
    model: CLIPPerceptor, text: str, images: Sequence[Path | str], template: str = ""
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
    for reference, each in zip(wanted, encode([w.path for w in wanted], model), strict=True):
        if each.feature is None:
            raise InputImageError(each.error)
        parts.append(reference.weight * each.feature)
    return F.normalize(torch.stack(parts).sum(0), dim=0)


def duplicates(
    index: Index,
    *,
    threshold: float = 0.97,
    progress: Callable[[int, int], object] | None = None,
) -> list[list[tuple[str, float]]]:
    """Groups of pictures that look alike.

    Each picture is compared with each: 14,000 take seconds, a million take hours.

    Args:
        index: up to date.
        threshold: cosine from which two are alike; likeness is passed on within a group.
        progress: told (done, total) after each part.

    Returns:
        Groups of (path, cosine to the first of the group), the largest first.
    """
    paths, vectors = index.vectors()
    leader = list(range(len(paths)))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    for start in range(0, len(paths), _ROWS):
        part = vectors[start : start + _ROWS].float()
        for after in range(start, len(paths), _ROWS):
            similar = part @ vectors[after : after + _ROWS].float().T
            for a, b in (similar >= threshold).nonzero().tolist():
                one, two = sorted((find(start + a), find(after + b)))
                leader[two] = one
        if progress is not None:
            progress(min(start + _ROWS, len(paths)), len(paths))
    groups: dict[int, list[int]] = {}
    for row in range(len(paths)):
        groups.setdefault(find(row), []).append(row)
    alike = sorted((rows for rows in groups.values() if len(rows) > 1), key=len, reverse=True)
    return [
        [(paths[row], float(vectors[row].float() @ vectors[rows[0]].float())) for row in rows]
        for rows in alike
    ]

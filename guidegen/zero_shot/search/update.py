"""Brings the index of a folder up to date: what is new, changed or deleted."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from torch import Tensor

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.zero_shot.pictures import Prepare, encode, walk
from guidegen.zero_shot.search.index import Index, State

# Pictures that become part of the index at once; a crash costs no more than these.
_COMMIT = 128


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


def bring_up_to_date(
    folder: Path,
    index: Index,
    model: CLIPPerceptor,
    *,
    pictures: Callable[[Path], Iterable[Path]] = walk,
    prepare: Prepare | None = None,
) -> Iterator[Update]:
    """Take in new and changed pictures, forget deleted ones; yields after each picture.

    What was looked at is kept whenever this is stopped. Another process may do the same at the
    same time: each leaves out what the other has added.

    Args:
        folder: that the index is of.
        index: of these pictures.
        model: the CLIP.
        pictures: finds them in the folder.
        prepare: changes a picture before the model sees it.
    """
    there = _states(folder, pictures(folder))
    known = index.states()
    if gone := [path for path in known if path not in there]:
        index.remove(gone)
    todo = [path for path, state in there.items() if known.get(path) != state]
    # processes that start together begin at different places
    turn = os.getpid() * 7919 % max(1, len(todo))
    waiting = iter(todo[turn:] + todo[:turn])
    done = 0
    while batch := list(islice(waiting, _COMMIT)):
        missing = [path for path in batch if index.state(path) != there[path]]
        done += len(batch) - len(missing)
        found: dict[str, tuple[State, Tensor | str]] = {}
        for each in encode([folder / path for path in missing], model, prepare=prepare):
            path = str(each.path.relative_to(folder))
            done += 1
            if each.feature is not None:
                found[path] = (there[path], each.feature)
            elif each.path.exists():  # else it was deleted meanwhile
                found[path] = (there[path], each.error)
            yield Update(done, len(todo), each.error if path in found else "")
        index.add(found)


def _states(folder: Path, paths: Iterable[Path]) -> dict[str, State]:
    found = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # deleted meanwhile, or a link to nothing
            continue
        found[str(path.relative_to(folder))] = State(stat.st_size, stat.st_mtime_ns)
    return found

"""The nouns of `guidegen caption --vocabulary nouns`: WordNet's words for what can be seen."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from guidegen.errors import DataError
from guidegen.training.data.corpus import VISIBLE
from guidegen.utils.files import write_atomic

# Lexicographer files of things to be seen. Not those of persons (18): many of these words are
# insults, and none should be said of a picture of somebody. Nor events and times (15 is places).
_THINGS = VISIBLE - {18}
_PEOPLE = {"person", "man", "woman", "child", "boy", "girl", "baby"}


def build_nouns(wordnet: Path, out: Path, /) -> None:
    """Write the nouns, one a line, gzipped: the usual ones, an empty line, all others.

    A noun is taken if its first meaning is a thing that can be seen, and no name. Usual is what
    occurs in the texts that WordNet's authors tagged.

    Args:
        wordnet: folder of the WordNet database (apt wordnet-base).
        out: the file.
    """
    if not (wordnet / "data.noun").is_file():
        raise DataError(f"{wordnet}: no WordNet database (data.noun); apt install wordnet-base")
    kinds: dict[str, int] = {}
    names: set[str] = set()
    for fields in _records(wordnet / "data.noun"):
        kinds[fields[0]] = int(fields[1])
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        names.update(word.lower() for word in words if word != word.lower())
    usual: list[str] = []
    others: list[str] = []
    for fields in _records(wordnet / "index.noun"):
        word, pointers = fields[0], int(fields[3])
        kind, tagged = kinds[fields[6 + pointers]], int(fields[5 + pointers])
        if word not in _PEOPLE and (kind not in _THINGS or word in names):
            continue
        (usual if tagged else others).append(word.replace("_", " "))
    lines = [*sorted(usual), "", *sorted(others)]
    # no time stamp: the same words are the same bytes
    write_atomic(out, gzip.compress("\n".join(lines).encode(), mtime=0))


def _records(path: Path) -> Iterator[list[str]]:
    for line in path.read_text("latin-1").splitlines():
        if not line.startswith("  "):  # the licence
            yield line.partition(" | ")[0].split()

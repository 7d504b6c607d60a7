"""Text that others wrote, made fit for a terminal, a shell and a log. Torch-free.

A prompt, a file's name or a tensor's may hold escape sequences that move the cursor, retitle the
window or paste a command, and characters that reorder what is read.
"""

import json
import shlex
import unicodedata
from collections.abc import Sequence
from typing import Any

# Control, format, surrogate, private use, unassigned; separators of lines and of paragraphs.
_UNFIT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Joiners are format characters, too, but emoji and several scripts are written with them.
_JOINERS = frozenset("\u200c\u200d")


def is_printable(char: str) -> bool:
    """Whether a character only shows itself."""
    return char in _JOINERS or unicodedata.category(char) not in _UNFIT


def printable(text: str) -> str:
    r"""The text with every other character escaped as Python writes it.

    >>> printable("red\n\x1b[2J apple")
    'red\\n\\x1b[2J apple'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if is_printable(char) else _escaped(char) for char in text)


def printable_json(data: Any) -> str:
    """JSON in which every other character is escaped: it reads back as the same data."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    # outside of its strings JSON holds line feeds, which stay
    return "".join(
        char if char == "\n" or is_printable(char) else json.dumps(char)[1:-1] for char in text
    )


def shell_command(words: Sequence[str]) -> str:
    r"""A command that a shell splits into exactly these words, and that is printable.

    Words with other characters are written as $'...', which bash, zsh, ksh and POSIX.1-2024 read.

    >>> shell_command(["guidegen", "a cat", "\x1b[2J"])
    "guidegen 'a cat' $'\\033[2J'"
    """
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if all(map(is_printable, word)):
        return shlex.quote(word)
    # bytes of a path that are not UTF-8 are surrogates in Python, and single bytes to a shell
    plain = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if is_printable(c) else _bytes(c) for c in plain) + "'"


def _bytes(char: str) -> str:
    """Octal: three digits at most, so that what follows can't be taken for one more."""
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")

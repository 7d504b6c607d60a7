"""A prompt list from stdin, kept beside the pictures that it asks for."""

import hashlib
import sys
from pathlib import Path

from guidegen.errors import ConfigError
from guidegen.utils.files import write_atomic

# What "-" stands for; cyclopts would take a bare hyphen for an option.
STDIN = Path("/dev/stdin")
# Longer than any list that somebody pipes; what is longer belongs into a file.
_MOST = 64 << 20


def read_stdin() -> bytes:
    """Everything on stdin.

    Raises:
        ConfigError: stdin is a terminal, closed, or endless.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("batch - reads a list from a pipe: generate-prompts | guidegen batch -")
    data = sys.stdin.buffer.read(_MOST + 1)
    if len(data) > _MOST:
        raise ConfigError("the list on stdin is longer than 64 MiB; write it into a file")
    return data


def list_name(data: bytes) -> str:
    """Its name as a file: .jsonl where it begins with an object, else .txt."""
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return "list.jsonl" if first == b"{" else "list.txt"


def default_folder(data: bytes) -> Path:
    """Where its pictures go: the same list finds those of its last call."""
    return Path("outputs") / f"list-{hashlib.sha256(data).hexdigest()[:8]}"


def keep(data: bytes, folder: Path) -> Path:
    """Write the list into a folder, and return where it lies.

    Raises:
        OutputError: it can't be written.
    """
    return write_atomic(folder / list_name(data), data)

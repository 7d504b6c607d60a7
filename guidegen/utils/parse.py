"""Files that anybody may have written, read and parsed within bounds. Torch-free.

The parsers of JSON and TOML follow nesting by recursion: a file of brackets ends them with a
RecursionError, which is no ValueError.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The text of an ordinary file; a byte order mark is left out.

    Raises:
        OSError: it can't be read, or is no file: a pipe might never answer.
        ValueError: it is longer than `limit` bytes, or not UTF-8.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no ordinary file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is longer than {limit >> 20} MiB")
    return data.decode("utf-8-sig")


def parse_json(text: str | bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text holds.

    Raises:
        ValueError: it is no TOML, or nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None

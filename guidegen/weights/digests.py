"""Digests of downloads, recorded where none was published. Torch-free.

The first pull trusts what it gets and writes the SHA-256 into `lock.json` of the store; every later
pull, from whatever source, must get the same bytes.
"""

import json
from pathlib import Path

from guidegen.errors import WeightsError
from guidegen.utils.files import make_folder, write_atomic
from guidegen.utils.locks import waiting
from guidegen.utils.parse import parse_json, read_text

LOCK = "lock.json"


def recorded(store: Path, key: str) -> str:
    """The digest of an earlier pull in hex; "" where there was none.

    Raises:
        WeightsError: the file is damaged.
    """
    return _read(store / LOCK).get(key, "")


def record(store: Path, key: str, sha256: str) -> None:
    """Write a digest down, or compare it with what was written down before.

    Raises:
        WeightsError: it is another one; the message says both.
        OutputError: the file can't be written.
    """
    path = store / LOCK
    # read and written by one process at a time, or one of two entries would be lost
    make_folder(store)
    with waiting(path.with_name(f".{LOCK}.lock")):
        digests = _read(path)
        if digests.setdefault(key, sha256) != sha256:
            raise WeightsError(mismatch(path, key, digests[key], sha256))
        text = json.dumps(digests, indent=2, sort_keys=True)
        write_atomic(path, f"{text}\n".encode())


def mismatch(path: Path, key: str, before: str, now: str) -> str:
    """The line about a download that is not that of the first pull."""
    return (
        f"{key}: its SHA-256 is {now}, but at the first pull it was {before} ({path}); the "
        f"published file was changed: if that is right, remove its line from {path.name}"
    )


def _read(path: Path) -> dict[str, str]:
    try:
        data = parse_json(read_text(path))
        if not all(isinstance(value, str) for value in data.values()):
            raise ValueError("a digest is no text")
        return dict(data)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"can't read {path} ({error}); remove it to record all digests anew"
        ) from error

"""Folder names that people can read. Torch-free."""

import re
import unicodedata

SLUG_LENGTH = 48

# Names that Windows gives to devices, whatever the extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def slug(text: str) -> str:
    """A readable folder name for a prompt: lower-case letters, digits and single hyphens.

    Latin letters lose their accents, other scripts keep theirs, an emoji becomes its name. Never
    empty, never a path, never a reserved name, at most 144 bytes.
    """
    plain = "".join(map(_plain, unicodedata.normalize("NFKC", text.casefold())))
    name = re.sub(r"[\W_]+", "-", plain).strip("-")
    if len(name) > SLUG_LENGTH:
        whole_words = name[: SLUG_LENGTH + 1].rpartition("-")[0]
        name = (whole_words or name)[:SLUG_LENGTH].strip("-")
    while len(name.encode()) > 3 * SLUG_LENGTH:  # a file system counts bytes
        name = name[:-1]
    if not name or _RESERVED.fullmatch(name):
        name = f"prompt-{name}".strip("-")
    return name


def _plain(char: str) -> str:
    """A character as a folder's name holds it."""
    if unicodedata.category(char) == "So":
        return f" {unicodedata.name(char, '').lower()} "
    if unicodedata.category(char).startswith("M"):
        return ""  # \w counts no marks, and names are readable without them
    base = unicodedata.normalize("NFKD", char)[0]
    return base if base.isascii() else char

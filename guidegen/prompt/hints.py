"""What a prompt holds that other programs read and this one doesn't. Torch-free."""

import re
import unicodedata
from collections import Counter

# A1111's emphasis and scheduling, its extra networks, and Midjourney's parameters.
_FOREIGN = (
    (re.compile(r"\(([^()|^:]+):(\d*\.?\d+)\)"), "'{}' is no weight here; write '{}:{}'"),
    (re.compile(r"\[[^\[\]|^]*:[^\[\]|^]*\]"), "'{}' is no schedule here; scenes are joined by ^"),
    (re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>"), "'{}' names a network that is not used here"),
    (
        re.compile(r"(?<!\S)--(?:ar|s|v|q|c|no|seed|stylize|chaos|niji|tile|iw)\b[^|^-]*"),
        "'{}' is read as words; settings are no part of the prompt",
    ),
)
_CUT = 40


def hints(text: str) -> list[str]:
    """One line for each thing in a prompt that will not do what its writer may expect."""
    found = []
    for pattern, says in _FOREIGN:
        if match := pattern.search(text):
            found.append(says.format(match.group().strip()[:_CUT], *match.groups()))
    script = _script(text)
    if script:
        found.append(
            f"the prompt is mostly {script}; CLIP was trained on English, and other languages "
            "come out more or less at random"
        )
    return found


def _script(text: str) -> str:
    """The script of most of a text's letters, in words, or "emoji"; "" for Latin."""
    kinds = Counter(_kind(char) for char in text if not char.isspace())
    del kinds[""]
    if not kinds:
        return ""
    (kind, _), *_ = kinds.most_common(1)
    return "" if kind == "LATIN" else kind.lower() if kind == "EMOJI" else kind.title()


def _kind(char: str) -> str:
    """The script of a letter; "EMOJI"; "" for digits and punctuation."""
    if unicodedata.category(char) == "So":
        return "EMOJI"
    if not char.isalpha():
        return ""
    return unicodedata.name(char, "").partition(" ")[0].replace("CJK", "CHINESE")

"""What a drawing is called: English captions and keywords from what its package tells.

Emoji sets are named by the Unicode CLDR names (as emojibase carries them), the others by their own
file names, and clip art by the title that its artist wrote into the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from guidegen.errors import DataError

LONGEST_KEYWORDS = 24
# not pictures of things: marks of companies, and what nobody should meet by chance
UNWANTED = re.compile(
    r"\b(logo|google|android|debian|ubuntu|linux|dribbb?le|iphone|ipad|macbook|icons8|java|adobe|"
    r"facebook|twitter|nazi|hitler|swastika|schwarze sonne|wmd|marijuana|genital|penis|nude|sexy)\b"
)

_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_TYPOS = {"reciept": "receipt", "databse": "database", "ubmrella": "umbrella", "bigben": "big ben"}


@dataclass(frozen=True, kw_only=True)
class Label:
    """Caption and company of one drawing.

    Args:
        caption: plain English, lower case.
        concept: what it shows, shared by all drawings of it and by all skin tones.
        quality: 2 a name that people chose, 1 a file name, 0 keywords only.
    """

    caption: str
    concept: str
    quality: int
    keywords: tuple[str, ...] = ()
    group: str = ""


def slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    plain = text.lower().replace(_APOSTROPHE, "").replace("'", "").replace("&", " and ")
    return "-".join(re.findall(r"[a-z0-9ñéãçåôíü]+", plain))


def plain_caption(label: str) -> str:
    """CLDR's "woman: light skin tone, red hair" as people would say it.

    >>> plain_caption("woman: light skin tone, red hair")
    'woman with red hair and light skin tone'
    >>> plain_caption("flag: Peru")
    'flag of peru'
    """
    label = re.sub("[“”]", "", label.lower().replace(_APOSTROPHE, "'"))
    base, _, rest = label.partition(": ")
    parts = [part for part in rest.split(", ") if part]
    if base == "flag":
        return f"flag of {rest}"
    if base == "keycap":
        return f"keycap {rest}"
    worn = [p for p in parts if p.endswith((" hair", "beard"))]
    tones = list(dict.fromkeys(p for p in parts if p.endswith("skin tone")))
    people = [p for p in parts if p not in (*worn, *tones, "bald")]
    if "bald" in parts:
        base = f"bald {base}"
    if people:
        base += (
            f" of {' and '.join(people)}"
            if base in ("family", "kiss")
            else f", {' and '.join(people)}"
        )
    return base + (f" with {' and '.join([*worn, *tones])}" if worn or tones else "")


class EmojiNames:
    """Names, keywords and groups of all emoji, found by code points or by an icon's slug."""

    def __init__(self, emojibase: Path, emojilib: Path) -> None:
        """Read the unpacked packages emojibase-data and emojilib.

        Raises:
            DataError: a file is absent or malformed.
        """
        try:
            data = json.loads((emojibase / "package/en/data.json").read_text("utf-8"))
            messages = json.loads((emojibase / "package/en/messages.json").read_text("utf-8"))
            extra = json.loads((emojilib / "package/dist/emoji-en-US.json").read_text("utf-8"))
            groups = {g["order"]: g["message"] for g in messages["groups"]}
            parts = {g["order"]: g["key"] for g in messages["subgroups"]}
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"the emoji names can't be read: {error}") from error
        self._by_code: dict[str, Label] = {}
        self._by_slug: dict[str, Label] = {}
        for item in data:
            if item.get("group") is None or groups.get(item["group"]) == "component":
                continue
            words = [
                *item.get("tags", ()),
                *(k.replace("_", " ") for k in extra.get(item["emoji"], ())),
            ]
            keywords = tuple(dict.fromkeys(w.lower() for w in words if len(w) > 1))[
                :LONGEST_KEYWORDS
            ]
            caption = plain_caption(item["label"])
            label = Label(
                caption=caption,
                concept=slug(
                    caption if item["label"].startswith("flag") else item["label"].split(":")[0]
                ),
                quality=2,
                keywords=keywords,
                group=f"{groups[item['group']]}/{parts.get(item.get('subgroup'), '')}",
            )
            self._add(item["hexcode"], item["label"], label)
            for skin in item.get("skins", ()):
                toned = replace(label, caption=plain_caption(skin["label"]))
                self._add(skin["hexcode"], skin["label"], toned)
        self._words = {w for label in self._by_slug.values() for w in label.caption.split()}
        self._words |= {
            w for label in self._by_slug.values() for k in label.keywords for w in k.split()
        }

    def _add(self, code: str, name: str, label: Label) -> None:
        self._by_code[_bare(code)] = label
        key = slug(name)
        for alias in (key, key.replace("-skin-tone", ""), key.replace("flag-", "flag-for-", 1)):
            self._by_slug.setdefault(alias, label)
            self._by_slug.setdefault(alias.replace("-", ""), label)

    def by_code(self, code: str) -> Label | None:
        """Label of hexadecimal code points joined by hyphens; variation selectors don't count."""
        return self._by_code.get(_bare(code))

    def by_slug(self, name: str) -> Label | None:
        """Label of an icon name such as `red-apple`, `redapple` or `grinning-face-1`."""
        name = re.sub(r"-\d$", "", name)
        if label := self._by_slug.get(name) or self._by_slug.get(f"flag-{name}"):
            return label
        label = self._by_slug.get(name.removesuffix("-face"))  # older sets say "bear face"
        return label if label and label.group.startswith("animals") else None

    def split(self, run: str) -> str:
        """`arrowupwards` as "arrow upwards": the fewest known words; `run` itself if none fit."""
        best: list[tuple[int, list[str]] | None] = [(0, [])] + [None] * len(run)
        for end in range(1, len(run) + 1):
            for start in range(max(0, end - 16), end):
                piece, before = run[start:end], best[start]
                known = piece in self._words and (
                    len(piece) > 2 or piece in ("no", "on", "up", "ok")
                )
                if before is None or not (known or piece.isdigit()):
                    continue
                found = (before[0] + 1, [*before[1], piece])
                best[end] = min(best[end] or found, found, key=lambda item: item[0])
        last = best[-1]
        return " ".join(last[1]) if last else run


def _bare(code: str) -> str:
    return "-".join(part for part in code.lower().split("-") if part != "fe0f").lstrip("0")


def from_slug(name: str) -> Label | None:
    """Label from an icon's name: words without variants and numbers."""
    name, tone, _ = re.sub(r"(?<=[a-z])\d$", "", name.lower()).partition("-skin-tone")
    words = [_TYPOS.get(w, w) for w in re.split(r"[-_\s]+", name) if w]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in ("fill", "alt", "icon", "duo")):
        words.pop()
    if tone:
        at = -2 if words[-2:-1] == ["medium"] else -1
        words[at:] = ["with", "-".join(words[at:]), "skin tone"]
    caption = " ".join(words)
    if len(caption) < 2 or UNWANTED.search(caption):
        return None
    concept = slug(caption.partition(" with ")[0] if tone else caption)
    return Label(caption=caption, concept=concept, quality=1)


def from_freedesktop(name: str) -> Label | None:
    """Label from a path of an icon theme, such as `scalable/devices/camera-photo.svg`."""
    folders = name.removesuffix(".svg").split("/")
    label = from_slug(folders[-1]) if folders[0] == "scalable" else None
    return label and replace(label, keywords=(folders[-2],), group="desktop icon")


def emoji_namer(names: EmojiNames, chars: Path | None) -> Callable[[str], Label | None]:
    """Namer of an iconify emoji set: by code points (`chars.json`), else by slug, else by words."""
    codes: dict[str, str] = {}
    if chars is not None and chars.is_file():
        codes = {name: code for code, name in json.loads(chars.read_text("utf-8")).items()}

    def label(name: str) -> Label | None:
        found = names.by_code(codes[name]) if name in codes else None
        found = found or names.by_slug(name)
        if found is None:
            found = from_slug(name if "-" in name else names.split(name).replace(" ", "-"))
        return found

    return label

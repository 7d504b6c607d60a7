"""Titles, keywords and the licence that Open Clip Art drawings carry as RDF metadata."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable

from guidegen.training.data.drawings import FileDrawings
from guidegen.training.data.naming import LONGEST_KEYWORDS, UNWANTED, Label, slug

# user-interface glyphs and thousands of near-equal stars and gradients
_SKIPPED = re.compile(
    r"^(computer/(icons|buttons)|shapes/stars/|special/(gradients|patterns)|logos|buttons|"
    r"people/clothing/pantyhose|unsorted/duplicates)"
)
_MANY = 6  # a title that more files share says who drew them, not what
_NOISE = re.compile(r"\b(clip ?art|svg|by|inkscape|untitled|openclipart|bw|b w|aiga|b and w|\d+)\b")
_CARDS = {"c": "clubs", "d": "diamonds", "h": "hearts", "s": "spades"}
_RANKS = {"a": "ace", "j": "jack", "q": "queen", "k": "king"}


def namer(drawings: FileDrawings) -> Callable[[str], Label | None]:
    """Namer of the drawings; reads all titles once, to know which ones say nothing."""
    titles = {name: _title(drawings.text(name)) for name in drawings if not _SKIPPED.match(name)}
    counts = Counter(titles.values())

    def label(name: str) -> Label | None:
        if name not in titles:
            return None
        svg = drawings.text(name)
        if "publicdomain" not in svg.lower().replace(" ", "").replace("_", ""):
            return None
        title = titles[name]
        foreign = "architetto" in (_field(svg, "creator") + name).lower()  # hundreds, in Italian
        generic = not title or counts[title] > _MANY
        caption = _file_words(name, svg) if generic else title
        caption = _known_series(name, caption)
        keywords = _keywords(name, svg, caption)
        quality = 1 if generic else 2
        plain = [word for word in keywords if "architetto" not in word]
        if plain and (foreign or len(caption) < 3):
            caption, quality = plain[0], 0
        if len(caption) < 3 or UNWANTED.search(" ".join((caption, *keywords))):
            return None
        return Label(
            caption=caption,
            concept=slug(caption),
            quality=quality,
            keywords=keywords,
            group=name.rpartition("/")[0],
        )

    return label


def _field(svg: str, name: str) -> str:
    found = re.search(rf"<dc:{name}\b[^>]*>(.*?)</dc:{name}>", svg, re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", found.group(1)) if found else ""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(text))).strip()


def _title(svg: str) -> str:
    title = _field(svg, "title").lower().replace("_", " ")
    if title.startswith("clipart by"):
        title = title.partition(" - ")[2]
    title = re.sub(r"\(.*?\)|\.svg\b|[^\w',.&\- ]", " ", title)
    title = _NOISE.sub(" ", title) if len(title.split()) < 6 else title
    title = re.sub(r"\s+", " ", title).strip(" -,.&")
    return re.sub(r"(?<=[a-z])\d+$", "", title)[:60]


def _file_words(name: str, svg: str) -> str:
    """Words of the file's name, without the artist's, which many names end in."""
    artist = set(re.findall(r"[a-z]{2,}", _field(svg, "creator").lower()))
    words = re.split(r"[-_.\s]+", name.rpartition("/")[2].removesuffix(".svg").lower())
    words = [w for w in (re.sub(r"\d+$", "", word) for word in words) if len(w) > 1]
    kept = [w for w in words if not any(w == a or (len(w) > 3 and a.startswith(w)) for a in artist)]
    return " ".join(kept or words)


def _known_series(name: str, caption: str) -> str:
    """Spell out what the names of flags and playing cards leave unsaid."""
    if card := re.search(r"/cards/\w+/\w+_([cdhs])_(\w+)\.svg$", name):
        return f"playing card {_RANKS.get(card[2], card[2])} of {_CARDS[card[1]]}"
    if "/signalflag_" in name:
        return "maritime signal flag " + name.rpartition("signalflag_")[2].removesuffix(".svg")
    if "/flags/" in name and "flag" not in caption:
        return f"flag of {caption}"
    return caption


def _keywords(name: str, svg: str, caption: str) -> tuple[str, ...]:
    bag = re.findall(r"<rdf:li>(.*?)</rdf:li>", svg, re.DOTALL)
    words = [html.unescape(w).strip().lower().replace("_", " ") for w in bag]
    words += [part.replace("_", " ") for part in name.split("/")[:-1]]
    seen = dict.fromkeys(w for w in words if 1 < len(w) < 40 and w != caption and w != "unsorted")
    return tuple(seen)[:LONGEST_KEYWORDS]

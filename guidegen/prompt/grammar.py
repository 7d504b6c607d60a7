"""The prompt grammar: `text:weight:stop`, parts joined by `|`, scenes joined by `^`.

A suffix counts as a weight only where it is a number, so `ratio 16:9 poster` and `note: a cat` are
plain text. So are a time and a ratio at the end, `at 10:30` and `16:9`: behind a number, a weight
has a decimal point, `route 66:2.0`. A backslash takes the meaning from `:`, `|` and `^`.

Torch-free.
"""

import math
import re
from dataclasses import dataclass

from guidegen.errors import PromptSyntaxError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|[+-]?inf$")
# ":0.5x" or ":1,5": somebody meant a number, and guessing would silently change the picture.
_ALMOST_NUMBER = re.compile(r"[+-]?[\d.,]*\d[\d.,]*[a-zA-Z%]{0,3}$|[+-]?nan$")
# "at 10" of "at 10:30", "16" of "16:9": a time or a ratio, which nobody means as a weight
_ENDS_WITH_NUMBER = re.compile(r"(^|\s)\d+$")


@dataclass(frozen=True)
class Prompt:
    """One part of a prompt.

    Attributes:
        text: what the picture should show.
        weight: how strongly; negative pushes away. Finite, not zero.
        stop: the loss of this part below which its gradient is cut (VQGAN-CLIP's third field).
    """

    text: str
    weight: float = 1.0
    stop: float = -math.inf

    def __str__(self) -> str:
        """The part as the grammar writes it: `parse(str(p)) == p`."""
        text = re.sub(r"([\\:|^])", r"\\\1", self.text)
        if self.stop != -math.inf:
            return f"{text}:{self.weight!r}:{self.stop!r}"
        return text if self.weight == 1.0 else f"{text}:{self.weight!r}"


def parse_prompt(text: str) -> tuple[Prompt, ...]:
    """Read one scene: parts joined by `|`.

    Raises:
        PromptSyntaxError: an empty prompt or part, or a weight that is no usable number.
    """
    parts = tuple(_parse_part(part, whole=text) for part in _split(text, "|"))
    if all(part.weight < 0 for part in parts):
        raise PromptSyntaxError(
            f"prompt {text!r} only pushes away; add a part with a positive weight"
        )
    return parts


def parse_scenes(text: str) -> tuple[tuple[Prompt, ...], ...]:
    """Read a story: scenes joined by `^`, each as `parse_prompt` reads it."""
    return tuple(parse_prompt(scene) for scene in _split(text, "^"))


def _split(text: str, separator: str) -> list[str]:
    """Split at `separator` where no backslash stands before it; the backslashes stay."""
    parts, start, i = [], 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        if text[i] == separator:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    return [*parts, text[start:]]


def split_numbers(
    part: str, *, whole: str | None = None, times: bool = False
) -> tuple[str, tuple[float, ...]]:
    """Split `text:weight:stop` into the text, backslashes and all, and up to two numbers.

    Args:
        part: what to split.
        whole: the prompt it belongs to, for messages; None is `part` itself.
        times: a whole number behind another is text, as in "at 10:30" and "16:9".

    Raises:
        PromptSyntaxError: a weight that is almost a number.
    """
    fields = _split(part, ":")
    suffixes: list[str] = []
    while len(fields) > 1 and len(suffixes) < 2 and _NUMBER.match(fields[-1].strip()):
        suffixes.insert(0, fields.pop())
    if times and suffixes and suffixes[0].isdigit() and _ENDS_WITH_NUMBER.search(":".join(fields)):
        return part, ()
    numbers = [float(suffix.strip()) for suffix in suffixes]
    if len(fields) > 1 and not numbers and _ALMOST_NUMBER.match(fields[-1].strip()):
        raise PromptSyntaxError(
            f"in prompt {whole or part!r} the weight {fields[-1].strip()!r} is not a number; write "
            f"it like '{fields[0].strip()}:0.5', or '\\:' for a plain colon"
        )
    return ":".join(fields), tuple(numbers)


def _parse_part(part: str, *, whole: str) -> Prompt:
    text, numbers = split_numbers(part, whole=whole, times=True)
    text = re.sub(r"\\([\\:|^])", r"\1", text).strip()
    if not text:
        where = "" if part == whole else f" (in {whole!r})"
        raise PromptSyntaxError(f'the prompt is empty{where}; try: guidegen "a red apple"')
    weight = numbers[0] if numbers else 1.0
    if not math.isfinite(weight) or weight == 0:
        raise PromptSyntaxError(f"in prompt {whole!r} the weight must be finite and not zero")
    return Prompt(text, weight, numbers[1] if len(numbers) > 1 else -math.inf)


@dataclass(frozen=True)
class Phrase:
    """A part of a prompt that names one kind of thing.

    Attributes:
        text: the words, articles and numbers taken off ("red apple").
        count: how many of it the prompt asks for, 1 to 4; a plural without a number counts as 3.
        relation: where it stands to the thing before it: "" | "above" | "below" | "behind".
        place: it names surroundings ("in the woods", "on a beach", "at night") and no object.
        colour: the basic colour term among its words, if any; "" for none. "night" for "at night".
        backdrop: it names what is behind everything ("a blue background").
    """

    text: str
    count: int = 1
    relation: str = ""
    place: bool = False
    colour: str = ""
    backdrop: bool = False


_COUNTS = {"two": 2, "2": 2, "pair of": 2, "both": 2, "three": 3, "3": 3, "four": 4, "4": 4}
# Connectives, longest first; the value is the relation of what FOLLOWS to what stands before.
_CONNECTIVES = {
    "in front of": "behind", "on top of": "below", "on the top of": "below", "next to": "",
    "at the side of": "", "together with": "", "surrounded by": "", "full of": "",
    "close to": "", "far from": "", "and a": "", "and an": "", "underneath": "above",
    "beneath": "above", "under": "above", "below": "above", "above": "below", "over": "below",
    "on": "below", "upon": "below", "behind": "", "beside": "", "near": "", "by": "", "with": "",
    "and": "", "wearing": "above", "holding": "", "carrying": "", "riding": "below", "without": "",
    "in": "place", "inside": "place", "at": "place", "through": "place", "across": "place",
    "against": "place", "during": "place", "from": "", "of": "of", "to": "", "for": "",
}  # fmt: skip
_CONNECTIVE = re.compile(
    r"\s*(?:,|;|\.|\b(" + "|".join(sorted(_CONNECTIVES, key=len, reverse=True)) + r")\b)\s*",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"^(?:(?:an?|the|some|my|your|his|her|its|their|our|one|single|this|that|there is|there are|"
    r"(?:a |an )?(?:picture|photo|photograph|drawing|painting|image|illustration|sketch) of)\s+)+",
    re.IGNORECASE,
)
_ONE = frozenset({"a", "an", "one", "single", "this", "that"})
# "a cup of coffee" is one thing.
_MEASURES = frozenset(
    {"bag", "basket", "bottle", "bouquet", "bowl", "box", "bunch", "can", "cup", "glass", "jar"}
    | {"loaf", "mug", "piece", "plate", "pot", "slice"}
)
_PAIR = re.compile(r"\b(?:a )?pair of\s+(?=(.*))", re.IGNORECASE)
# What can be stood on or in: "on a hill" is a place, "on a chair" is not.
_LAND = frozenset(
    {"beach", "coast", "desert", "farm", "field", "forest", "garden", "grass", "hill", "ice"}
    | {"island", "jungle", "lake", "lawn", "meadow", "moon", "mountain", "ocean", "park", "planet"}
    | {"river", "road", "rock", "sand", "sea", "shore", "snow", "street", "water"}
)
# One thing in spite of its s.
_SINGULAR = frozenset(
    {"atlas", "binoculars", "bus", "canvas", "christmas", "gas", "glasses", "goggles"}
    | {"headphones", "jeans", "lens", "mars", "news", "pajamas", "pants", "paris", "pliers"}
    | {"scissors", "series", "shorts", "species", "sunglasses", "tights", "trousers", "venus"}
)
_PLURAL = frozenset(
    {"children", "crowd", "fish", "flock", "forest", "geese", "herd", "jungle", "men", "mice"}
    | {"people", "sheep", "women", "woodland"}
)
_MANY = 3
_BACKDROP = re.compile(r"\b(background|backdrop)\b", re.IGNORECASE)
# The basic colour terms of English (Berlin & Kay 1969) and other words for them.
COLOURS = {
    "red": "red", "orange": "orange", "yellow": "yellow", "green": "green", "blue": "blue",
    "purple": "purple", "pink": "pink", "brown": "brown", "black": "black", "gray": "gray",
    "white": "white", "grey": "gray", "violet": "purple", "golden": "yellow", "scarlet": "red",
    "crimson": "red", "turquoise": "blue", "beige": "brown", "silver": "gray",
}  # fmt: skip


def outline(text: str, *, most: int = 5) -> tuple[Phrase, ...]:
    """Split a prompt into the things it names, by its connectives; a rule of thumb, not a parser.

    >>> [p.text for p in outline("two cats under a big moon")]
    ['cats', 'big moon']

    Args:
        text: the words of one prompt part.
        most: phrases beyond this number are dropped.
    """
    text = _PAIR.sub(_pair, text)
    filler = _FILLER.match(text.strip() + " ")
    # the article stays with its noun: it tells one thing from many
    text = text.strip()
    if filler:
        text = (re.sub(r"^.*\bof\s", "", filler.group()) + text[filler.end() :]).strip()
    phrases: list[Phrase] = []
    relation, position = "", 0
    for match in [*_CONNECTIVE.finditer(text), None]:
        words = text[position : match.start() if match else len(text)].strip()
        if match and match.group(1) == "of" and words and _is_measure(words):
            continue
        if words:
            phrases.append(_phrase(words, relation))
        if match is None:
            break
        position = match.end()
        relation = _CONNECTIVES.get((match.group(1) or "").lower(), "")
    phrases = [phrase for phrase in phrases if phrase.text]
    if all(phrase.backdrop for phrase in phrases):
        return (Phrase(_FILLER.sub("", text + " ").strip() or text),)
    return tuple(phrases[:most])


def _phrase(words: str, relation: str) -> Phrase:
    filler = _FILLER.match(words.strip() + " ")
    one = filler is not None and filler.group().lower().split()[-1] in _ONE
    words = _FILLER.sub("", words.strip() + " ").strip()
    count = 0
    for name, number in _COUNTS.items():
        if words.lower().startswith(name + " "):
            words, count = words[len(name) + 1 :], number
            break
    words = _FILLER.sub("", words + " ").strip()
    last = words.lower().split()[-1] if words else ""
    if last in _SINGULAR:
        count = 1
    elif not count:
        count = _MANY if not one and _is_plural(last) else 1
    found = [COLOURS[word] for word in words.lower().split() if word in COLOURS]
    # "an orange" is a fruit: a colour stands before what it colours
    colour = found[0] if found and words.lower().split()[-1] not in COLOURS else ""
    place = relation == "place" or (
        relation == "below" and (last in _LAND or last.removesuffix("s") in _LAND)
    )
    backdrop = bool(_BACKDROP.search(words))
    if place and words.lower() in ("night", "midnight"):
        colour, backdrop = "night", True
    relation = "" if place or relation == "of" else relation
    return Phrase(words, count, relation, place=place, colour=colour, backdrop=backdrop)


def _pair(found: re.Match[str]) -> str:
    """What "a pair of" counts: two, but one of glasses."""
    return "" if _SINGULAR.intersection(found.group(1).lower().split()[:3]) else "two "


def _is_measure(words: str) -> bool:
    last = words.lower().split()[-1]
    return last in _MEASURES or last.removesuffix("s") in _MEASURES


def _is_plural(word: str) -> bool:
    """Whether a noun means several things, by its ending; a rule of thumb."""
    if word in _PLURAL:
        return True
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))

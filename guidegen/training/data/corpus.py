"""Texts that the student text tower is taught on.

Words a user may write (WordNet, the tokenizer's own vocabulary), their definitions, the captions
and keywords of the pictures, and short made-up sentences about visible things.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guidegen.errors import DataError
from guidegen.training.data.captions import article
from guidegen.training.data.dataset import Record


def _listed(text: str) -> list[str]:
    return [item.strip() for item in " ".join(text.split()).split("|")]


COLOURS = _listed(
    "red|orange|yellow|green|blue|purple|pink|brown|black|white|gray|golden|silver|cyan|beige"
)
ADJECTIVES = COLOURS + _listed(
    """big|small|tiny|huge|old|new|shiny|broken|wooden|metal|glass|happy|sad|angry|sleeping|lonely|
    beautiful|ugly|round|square|tall|bright|dark|wet|fluffy|scary|cute|colorful|striped|burning|
    frozen|giant|floating|empty|open|closed|young|ancient|strange|peaceful|crowded"""
)
RELATIONS = _listed(
    """next to|and|above|below|on|under|behind|in front of|inside|with|near|holding|wearing|beside|
    on top of|between|over|around|without|surrounded by"""
)
PLACES = _listed(
    """at night|in the rain|in the snow|in a forest|on a hill|on the beach|by the sea|in the sky|
    under the stars|in space|on a table|in a city|at sunset|in a garden|on the grass|in the desert|
    on a mountain|under water|in a field|in the fog|on a white background|on a blue background|
    on a red background|on a green background|on a yellow background|on a black background|
    in winter|in autumn|on a street|by a river|by a lake|at sunrise|in the moonlight|in a room|
    in a kitchen"""
)
STYLES = _listed(
    """a photo of {}|a drawing of {}|a painting of {}|a picture of {}|an illustration of {}|
    clip art of {}|a 3d emoji of {}|an emoji of {}|an icon of {}|a watercolor painting of {}|
    an oil painting of {}|a sketch of {}|a cartoon of {}|a close-up of {}|{}, digital art|
    a flat icon of {}|{} in the style of van gogh|a photograph of {}|a glossy emoji of {}|
    {}, highly detailed|pixel art of {}"""
)
COUNTS = _listed("two|three|many|a group of|a pair of|several|four")

# WordNet lexicographer files of things that can be drawn
VISIBLE = {5, 6, 8, 13, 15, 17, 18, 19, 20, 27}
ACTIONS = {29, 34, 35, 36, 38}  # body, consumption, contact, creation, motion


@dataclass(frozen=True)
class WordNet:
    """What the corpus takes from WordNet; see wndb(5WN) for the file format."""

    lemmas: list[str]
    glosses: list[tuple[str, str]]
    things: list[str]
    actions: list[str]


def read_wordnet(folder: Path) -> WordNet:
    """Read the `data.*` and `index.*` files of WordNet 3 (Debian package wordnet-base)."""
    if not (folder / "data.noun").is_file():
        raise DataError(f"{folder}: no WordNet database (data.noun); apt install wordnet-base")
    lemmas: dict[str, None] = {}
    glosses: list[tuple[str, str]] = []
    kinds: dict[tuple[str, str], int] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("latin-1").splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            count = int(fields[3], 16)
            words = [w.split("(")[0] for w in fields[4 : 4 + 2 * count : 2]]
            words = [w.replace("_", " ").lower() for w in words]
            lemmas.update(dict.fromkeys(words))
            glosses.append((words[0], gloss.split('; "')[0].strip()))
            for word in words:
                kinds.setdefault((part, word), int(fields[1]))
    return WordNet(
        lemmas=list(lemmas),
        glosses=glosses,
        things=[w for w in _used_words(folder, "noun") if kinds.get(("noun", w)) in VISIBLE],
        actions=[w for w in _used_words(folder, "verb") if kinds.get(("verb", w)) in ACTIONS],
    )


def _used_words(folder: Path, part: str) -> Iterator[str]:
    """Words that occur in WordNet's tagged texts: the common ones."""
    for line in (folder / f"index.{part}").read_text("latin-1").splitlines():
        fields = line.split()
        if not line.startswith("  ") and int(fields[5 + int(fields[3])]) > 0:
            yield fields[0].replace("_", " ")


def present_participle(verb: str) -> str:
    """The -ing form of a regular English verb, by spelling."""
    word, space, rest = verb.partition(" ")
    if word.endswith("e") and not word.endswith(("ee", "ye", "oe")):
        word = word[:-1]
    elif re.fullmatch("[^aeiou][aeiou][^aeiouwxy]", word):
        word += word[2]
    return word + "ing" + space + rest


class SentenceMaker:
    """Short sentences about visible things, at random.

    Args:
        things: nouns from WordNet.
        captions: nouns and phrases of the data set, drawn as often as `things`.
        actions: verbs.
    """

    def __init__(self, things: list[str], captions: list[str], actions: list[str]) -> None:
        self.things, self.captions, self.actions = things, captions, actions

    def noun_phrase(self, rng: random.Random) -> str:
        """One thing, perhaps with its colour, kind or number."""
        noun = rng.choice(rng.choice((self.things, self.captions)))
        dice = rng.random()
        if dice < 0.1:
            return f"{rng.choice(COUNTS)} {noun if noun.endswith('s') else noun + 's'}"
        if dice < 0.2:
            return noun
        if dice < 0.65:
            noun = f"{rng.choice(COLOURS if dice < 0.45 else ADJECTIVES)} {noun}"
        return article(noun)

    def sentence(self, rng: random.Random) -> str:
        """One thing, what it does or what it is next to, perhaps where, perhaps a style."""
        text = self.noun_phrase(rng)
        dice = rng.random()
        if dice < 0.25 and self.actions:
            text += " " + present_participle(rng.choice(self.actions))
        elif dice < 0.8:
            text += f" {rng.choice(RELATIONS)} {self.noun_phrase(rng)}"
        if rng.random() < 0.4:
            text += " " + rng.choice(PLACES)
        if rng.random() < 0.3:
            text = rng.choice(STYLES).format(text)
        return text


def caption_texts(records: Iterable[Record]) -> list[str]:
    """Captions and keywords, each once."""
    texts: dict[str, None] = {}
    for record in records:
        texts.update(dict.fromkeys((record.caption.lower(), *(k.lower() for k in record.keywords))))
    return list(texts)


def build_corpus(
    records: list[Record],
    wordnet: WordNet | None,
    vocabulary: Iterable[str],
    class_names: Iterable[str],
    *,
    sentences: int,
    glosses: int,
    seed: int,
) -> list[str]:
    """All texts, each once, in random order; captions first cut to what the tower can read."""
    rng = random.Random(seed)
    phrases = caption_texts(records)
    captions = list(dict.fromkeys(r.caption.lower() for r in records))
    texts = dict.fromkeys((*phrases, *vocabulary, *class_names))
    nouns = captions + list(class_names)
    for caption in nouns:
        for style in rng.sample(STYLES, 3):
            texts[style.format(article(caption))] = None
        texts[f"{rng.choice(COLOURS)} {caption}"] = None
        texts[f"{article(caption)} {rng.choice(PLACES)}"] = None
        texts[f"{article(caption)} and {article(rng.choice(nouns))}"] = None
    things, actions = captions, []
    if wordnet is not None:
        things, actions = wordnet.things or captions, wordnet.actions
        texts.update(dict.fromkeys(wordnet.lemmas))
        for word, gloss in rng.sample(wordnet.glosses, min(glosses, len(wordnet.glosses))):
            texts[gloss if rng.random() < 0.5 else f"{word}: {gloss}"] = None
    maker = SentenceMaker(things, nouns, actions)
    for _ in range(sentences):
        texts[maker.sentence(rng)] = None
    for _ in range(sentences // 25):  # long ones, so that the last positions are trained too
        texts[", ".join(maker.sentence(rng) for _ in range(rng.randint(3, 6)))] = None
    shuffled = list(texts)
    rng.shuffle(shuffled)
    return shuffled

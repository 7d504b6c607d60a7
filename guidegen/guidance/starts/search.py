"""Where a run starts: ranking a generator's vocabulary, and best of several starts.

The same code serves BigGAN's classes (text against names) and the collage's patches (text against
names and thumbnails).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from guidegen.clip.perceptor import Ensemble
from guidegen.clip.text_features import encode_vocabulary
from guidegen.cutouts import CutoutParameters
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.objective import total
from guidegen.guidance.targets import encode_picture
from guidegen.interfaces import Candidate, Images, Latents, Perceptor, Preference, Vocabulary
from guidegen.ops import joined, rows
from guidegen.prompt.grammar import Phrase, outline
from guidegen.prompt.references import ImagePrompt

_TIMES = frozenset({"night", "midnight", "evening", "morning", "noon", "day", "time"})
# Entries whose thumbnails are encoded: those whose names fit best. Encoding all would cost a
# CLIP forward pass per entry of the vocabulary.
_SHORTLIST = 48
_AT_ONCE = 16
# A text whose best name is fewer deviations above the mean of all is no name of a thing ("red
# apple" has 8, "joyful birthday" 5, "loneliness" 3): keywords say more, and thumbnails less.
_NAMED, _OF_KEYWORDS, _OF_THUMBNAILS = 6.0, 0.7, 0.5


def rank(
    ensemble: Ensemble, vocabulary: Vocabulary, encode: Callable[[Perceptor], Tensor], n: int
) -> Tensor:
    """How well each entry fits each of `n` texts or pictures.

    They are compared with names, where none fits with keywords too, and for the best of these with
    thumbnails; each is standardised over the vocabulary, since CLIP's text-text and text-image
    similarities live on different scales.

    Args:
        ensemble: the CLIPs that compare.
        vocabulary: the entries, V of them.
        encode: gives the features [n, d] in the space of a perceptor.
        n: how many texts or pictures.

    Returns:
        [n, V] on the CPU, higher is better.
    """
    wanted = [encode(perceptor).cpu() for perceptor, _ in ensemble]
    names = [entry.name for entry in vocabulary.entries]
    scores = _of_texts(names, ensemble, vocabulary, wanted)
    unnamed = scores.max(1).values < _NAMED
    unnamed &= any(entry.keywords for entry in vocabulary.entries)
    if bool(unnamed.any()):
        keywords = [entry.keywords or entry.name for entry in vocabulary.entries]
        asked = [each[unnamed] for each in wanted]
        suggested = _of_texts(keywords, ensemble, vocabulary, asked)
        scores[unnamed] = _standardised(scores[unnamed] + _OF_KEYWORDS * suggested)
    drawn = torch.tensor([entry.group != "backdrop" for entry in vocabulary.entries])
    best = scores.masked_fill(~drawn, -torch.inf)
    shortlist = best.topk(min(_SHORTLIST, int(drawn.sum())), dim=1).indices
    unique = shortlist.unique().tolist()
    thumbnails = vocabulary.thumbnails(unique)
    if thumbnails is None:
        return scores
    column = {entry: i for i, entry in enumerate(unique)}
    of_thumbnails = torch.zeros(n, len(unique))
    for (perceptor, weight), features in zip(ensemble, wanted, strict=True):
        pictures = _encode_all(perceptor, thumbnails).cpu()
        of_thumbnails += weight * _standardised(features @ pictures.T)
    # an image tower that learned from names of things knows less of the rest
    of_thumbnails[unnamed] *= _OF_THUMBNAILS
    # what is not on the shortlist ranks below what is
    ranked = scores - 10.0
    for row, entries in enumerate(shortlist.tolist()):
        columns = [column[entry] for entry in entries]
        ranked[row, entries] = scores[row, entries] + of_thumbnails[row, columns]
    return ranked


def _of_texts(
    texts: list[str], ensemble: Ensemble, vocabulary: Vocabulary, wanted: Sequence[Tensor]
) -> Tensor:
    """How well a text of each entry fits features [n, d] of each perceptor: [n, V]."""
    scores = torch.zeros(len(wanted[0]), len(texts))
    for (perceptor, weight), features in zip(ensemble, wanted, strict=True):
        bank = encode_vocabulary(perceptor, texts, key=vocabulary.digest).cpu()
        scores += weight * _standardised(features @ bank.T)
    return scores


@torch.no_grad()
def _encode_all(perceptor: Perceptor, images: Images) -> Tensor:
    """Features [n, d] of pictures, in chunks of one size, the last filled up.

    For every other size oneDNN makes and keeps kernels of its own: 2 MB more after each prompt.
    """
    missing = -len(images) % _AT_ONCE
    filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
    parts = [perceptor.encode_image(part).float() for part in filled.split(_AT_ONCE)]
    return torch.cat(parts)[: len(images)]


def _standardised(scores: Tensor) -> Tensor:
    spread = scores.std(1, keepdim=True) if scores.shape[1] > 1 else torch.ones(len(scores), 1)
    return (scores - scores.mean(1, keepdim=True)) / spread.clamp(min=1e-6)


def prefer(
    ensemble: Ensemble, vocabulary: Vocabulary, candidates: Sequence[Candidate]
) -> list[Preference]:
    """What each candidate's prompt asks of the vocabulary, phrase by phrase.

    A phrase's score mixes in its head noun's, the last word in English, so that "joyful birthday"
    is about birthdays; and the whole prompt's, so that "a bat in a cave" prefers the animal and "a
    bat hits a ball" the club. Each prompt is ranked by itself: its scores, and so the picture,
    do not depend on what else is being made.
    """
    done: dict[tuple[object, ...], Preference] = {}
    preferences = []
    for candidate in candidates:
        wanted = tuple(prompt.text for prompt in candidate.prompts if prompt.weight > 0)
        key = wanted or candidate.references
        if key not in done:
            done[key] = (
                _of_words(ensemble, vocabulary, wanted)
                if wanted
                else _of_pictures(ensemble, vocabulary, candidate)
            )
        preferences.append(done[key])
    return preferences


def _of_words(ensemble: Ensemble, vocabulary: Vocabulary, wanted: Sequence[str]) -> Preference:
    named = _distinct([phrase for text in wanted for phrase in outline(text)])
    phrases = tuple(phrase for phrase in named if not phrase.backdrop)
    behind = next((phrase.colour for phrase in named if phrase.backdrop), "")
    texts = [phrase.text for phrase in phrases]
    heads = [_head(text) for text in texts]
    all_texts = [*texts, *heads, ", ".join(wanted)]
    ranked = rank(ensemble, vocabulary, lambda p: p.encode_text(all_texts), len(all_texts))
    of_phrases, of_heads, of_whole = ranked.split([len(texts), len(texts), 1])
    scores = of_phrases + 0.4 * of_heads + 0.3 * of_whole
    return Preference(phrases, _standardised(scores), behind)


def _head(text: str) -> str:
    """The noun that a phrase is about: its last word, but "christmas night" is about Christmas."""
    *_, last = text.split()
    return text if last.lower() in _TIMES else last


def _of_pictures(ensemble: Ensemble, vocabulary: Vocabulary, candidate: Candidate) -> Preference:
    """Where no words say what to draw: entries that are like the image prompts, if there are."""
    liked = [r for r in candidate.references if isinstance(r, ImagePrompt) and r.weight > 0]
    if not liked:
        return Preference((Phrase("anything"),), torch.zeros(1, len(vocabulary.entries)))

    def encode(perceptor: Perceptor) -> Tensor:
        return torch.stack([encode_picture(perceptor, each) for each in liked])

    scores = rank(ensemble, vocabulary, encode, len(liked)).mean(0, keepdim=True)
    best = vocabulary.entries[int(scores.argmax())].name
    return Preference((Phrase(best),), _standardised(scores))


def _distinct(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    return tuple({phrase.text.lower(): phrase for phrase in reversed(phrases)}.values())[::-1]


def best_of(
    evaluator: LossEvaluator, starts: int, *, preference: Sequence[Preference] | None = None
) -> Latents:
    """Where each candidate starts: the best of `starts`, or the one that it picks.

    Scored without gradient; all starts of a candidate are seen through the same views, so that only
    they differ.
    """
    chosen: list[Latents] = []
    for b, candidate in enumerate(evaluator.candidates):
        if candidate.pick is not None:
            last = candidate.pick - 1
            sampled = draw(evaluator, b, candidate.pick, preference=preference)
            chosen.append(rows(sampled, slice(last, last + 1)))
            continue
        sampled = draw(evaluator, b, starts, preference=preference)
        best = 0 if starts == 1 else int(losses_of(evaluator, b, sampled).argmin())
        chosen.append(rows(sampled, slice(best, best + 1)))
    latents = joined(chosen)
    with torch.no_grad():
        evaluator.generator.constrain_(latents)
    return latents


def draw(
    evaluator: LossEvaluator,
    candidate: int,
    starts: int,
    *,
    preference: Sequence[Preference] | None = None,
) -> Latents:
    """Starts of one candidate, [starts, ...] each.

    The first of many are the same as few: each row takes its random numbers after the row before.
    """
    own = None if preference is None else [preference[candidate]] * starts
    rng = evaluator.candidates[candidate].rng
    return evaluator.generator.init(starts, rngs=[rng] * starts, preference=own)


@torch.no_grad()
def losses_of(
    evaluator: LossEvaluator,
    candidate: int,
    starts: Latents,
    cutouts: CutoutParameters | None = None,
) -> Tensor:
    """Total loss [n] of starts of one candidate, all seen through the same views.

    Args:
        evaluator: of the run.
        candidate: its number.
        starts: [n, ...] each.
        cutouts: the views; None samples some.
    """
    own = range(candidate, candidate + 1)
    cutouts = evaluator.sample_cutouts(own) if cutouts is None else cutouts
    scores = []
    for i in range(len(next(iter(starts.values())))):
        start = rows(starts, slice(i, i + 1))
        _, losses = evaluator.evaluate(start, cutouts, own, backward=False)
        scores.append(total(losses))
    return torch.cat(scores)

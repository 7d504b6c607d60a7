import pytest
import torch

from guidegen.clip.perceptor import Ensemble
from guidegen.guidance.starts import search
from guidegen.guidance.starts.search import best_of, prefer, rank
from guidegen.interfaces import Candidate, Entry
from guidegen.prompt.grammar import parse_prompt
from tests.helpers.fakes import TinyPerceptor
from tests.helpers.loops import make_loop


class Colours:
    """A vocabulary of plain colours; names are what TinyPerceptor reads."""

    digest = "0" * 64

    def __init__(self, names, shown=None):
        self.entries = [Entry(name) for name in names]
        self.shown = shown
        self.looked_at = []

    def thumbnails(self, indices):
        self.looked_at += indices
        if self.shown is None:
            return None
        rows = [[float(v) for v in self.shown[i].split(",")] for i in indices]
        return torch.tensor(rows).view(-1, 3, 1, 1).expand(-1, 3, 16, 16)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path))


def candidate(text, seed=0):
    return Candidate(parse_prompt(text), torch.Generator().manual_seed(seed))


ONE = Ensemble(((TinyPerceptor(), 1.0),))
RED, GREEN, BLUE, PINK = "0.9,0.1,0.1", "0.1,0.9,0.1", "0.1,0.1,0.9", "0.9,0.5,0.5"


def red(perceptor):
    return perceptor.encode_text([RED])


def test_names_rank_by_their_nearness_to_the_text():
    scores = rank(ONE, Colours([BLUE, GREEN, PINK, RED]), red, 1)
    assert scores.shape == (1, 4)
    assert scores[0].argsort(descending=True).tolist()[:2] == [3, 2]
    assert abs(scores.mean()) < 1e-5


def test_thumbnails_tell_drawings_of_one_name_apart():
    shown = [BLUE, GREEN, RED]
    vocabulary = Colours(["a thing"] * 3, shown)
    scores = rank(ONE, vocabulary, red, 1)
    assert scores[0].argmax() == 2
    assert sorted(vocabulary.looked_at) == [0, 1, 2]


def keyworded(named, suggested):
    """Sixty blue things; one is named red, another one's keywords are."""
    vocabulary = Colours([RED if n == named else BLUE for n in range(60)])
    vocabulary.entries = [
        Entry(entry.name, keywords=RED if n == suggested else BLUE)
        for n, entry in enumerate(vocabulary.entries)
    ]
    return vocabulary


def test_keywords_decide_where_no_name_fits_and_only_there():
    assert rank(ONE, keyworded(named=None, suggested=7), red, 1)[0].argmax() == 7
    assert torch.equal(
        rank(ONE, keyworded(named=3, suggested=7), red, 1),
        rank(ONE, keyworded(named=3, suggested=9), red, 1),
    )


def test_backdrops_are_ranked_by_name_and_never_looked_at():
    vocabulary = Colours([BLUE, GREEN, RED, PINK], [BLUE, GREEN, RED, PINK])
    vocabulary.entries[2:] = [Entry(RED, group="backdrop"), Entry(PINK, group="backdrop")]
    scores = rank(ONE, vocabulary, red, 1)[0]
    assert sorted(vocabulary.looked_at) == [0, 1]
    assert scores[2] > scores[3]
    assert scores[:2].min() > scores[2]


def test_only_the_best_names_are_looked_at():
    names = [f"{i / 200:.3f},0.1,0.1" for i in range(200)]
    vocabulary = Colours(names, names)
    scores = rank(ONE, vocabulary, red, 1)
    assert len(vocabulary.looked_at) == 48
    seen = torch.zeros(200, dtype=torch.bool)
    seen[vocabulary.looked_at] = True
    assert scores[0][seen].min() > scores[0][~seen].max()


def test_a_preference_has_a_row_a_phrase_and_does_not_depend_on_the_neighbours():
    vocabulary = Colours([RED, GREEN, BLUE, PINK, "cat", "dog"])
    alone = prefer(ONE, vocabulary, [candidate("two cat and a dog")])[0]
    many = prefer(ONE, vocabulary, [candidate("x"), candidate("two cat and a dog"), candidate("y")])
    assert [phrase.text for phrase in alone.phrases] == ["cat", "dog"]
    assert alone.phrases[0].count == 2
    assert alone.scores.argmax(1).tolist() == [4, 5]
    assert torch.equal(alone.scores, many[1].scores)


def asked_of_rank(monkeypatch, scores):
    """The texts that are compared with the vocabulary, where `scores` stands for the comparison."""
    asked = []

    class Reader:
        def encode_text(self, texts):
            asked.extend(texts)

    def fake(ensemble, vocabulary, encode, n):
        encode(Reader())
        return scores(n)

    monkeypatch.setattr(search, "rank", fake)
    return asked


def test_a_time_of_day_is_no_head_noun(monkeypatch):
    asked = asked_of_rank(monkeypatch, lambda n: torch.zeros(n, 1))
    prefer(ONE, Colours([RED]), [candidate("Christmas night and joyful birthday")])
    assert asked[2:4] == ["Christmas night", "birthday"]


def test_what_is_pushed_away_asks_for_nothing():
    vocabulary = Colours([RED, GREEN, BLUE, PINK, "cat", "dog"])
    wanted = prefer(ONE, vocabulary, [candidate("cat|dog:-1|cat:0.5")])[0]
    assert [phrase.text for phrase in wanted.phrases] == ["cat"]


def test_a_score_mixes_the_phrase_its_head_noun_and_the_whole_prompt(monkeypatch):
    def scores(n):
        return torch.randn(n, 4, generator=torch.Generator().manual_seed(5))

    asked = asked_of_rank(monkeypatch, scores)
    text = "a red apple on a blue background|a big dog|fog:-1|a Big dog"
    (found,) = prefer(ONE, Colours([RED, GREEN, BLUE, PINK]), [candidate(text)])
    phrases = [phrase.text for phrase in found.phrases]
    assert asked == [*phrases, *(p.split()[-1] for p in phrases), asked[-1]]
    assert asked[-1] == "a red apple on a blue background, a big dog, a Big dog"
    assert len(phrases) == len({phrase.lower() for phrase in phrases}) == 2
    assert found.backdrop == "blue"
    ranked = scores(5)
    mixed = ranked[:2] + 0.4 * ranked[2:4] + 0.3 * ranked[4:]
    wanted = (mixed - mixed.mean(1, keepdim=True)) / mixed.std(1, keepdim=True)
    assert torch.allclose(found.scores, wanted, atol=1e-6)
    assert prefer(ONE, Colours([RED, GREEN, BLUE, PINK]), [candidate("dog")])[0].backdrop == ""


def test_the_best_start_is_the_one_with_the_lowest_loss_through_the_same_views():
    words, seeds = [RED, BLUE], [7, 8]
    loop = make_loop(words, seeds)
    chosen = best_of(loop.evaluator, 5)["pixels"]
    for b in range(2):
        # the same numbers again, in the same order: five starts, then the views
        evaluator = make_loop(words, seeds).evaluator
        starts = evaluator.generator.init(5, rngs=[evaluator.candidates[b].rng] * 5)["pixels"]
        cutouts = evaluator.sample_cutouts(range(b, b + 1))
        losses = [
            evaluator.evaluate({"pixels": s[None]}, cutouts, range(b, b + 1), backward=False)[1]
            for s in starts
        ]
        best = torch.stack([loss["clip"] for loss in losses]).argmin()
        assert torch.equal(chosen[b], starts[best].clamp(0, 1))

"""Texts that a predictor learns from."""

from collections import Counter

import torch

from guidegen.training.data.dataset import Record
from guidegen.training.predictor.texts import Drawings, Told, make_texts
from tests.unit.training.predictor.test_trainer import squares

RECORDS = [
    Record(file="a", caption="Apple", concept="apple"),
    Record(file="b", caption="Apple", concept="apple"),
    Record(file="c", caption="House", concept="house"),
    Record(file="d", caption="Red flag", concept="flag"),
]


def test_each_concept_is_told_of_as_often_as_any_other():
    told = make_texts(RECORDS, 300, seed=0)
    found = Counter(RECORDS[each.first].concept for each in told)
    assert found == {"apple": 100, "house": 100, "flag": 100}
    assert {each.first for each in told} == {0, 1, 2, 3}


def test_the_text_names_what_its_drawing_was_given():
    from guidegen.training.data.scenes import COLOUR_NAMES

    told = make_texts(RECORDS, 600, seed=1)
    coloured = [each for each in told if each.background]
    tinted = [each for each in told if each.tint >= 0]
    pairs = [each for each in told if each.second >= 0]
    assert min(map(len, (coloured, tinted, pairs))) > 0
    assert all(f"{COLOUR_NAMES[e.background]} background" in e.text for e in coloured)
    assert all(COLOUR_NAMES[e.tint] in e.text for e in tinted)
    assert not any(e.first == 3 for e in tinted)  # a flag keeps its colours
    for each in pairs:
        assert RECORDS[each.first].caption.lower() in each.text
        assert RECORDS[each.second].caption.lower() in each.text


def test_texts_follow_from_the_seed():
    assert make_texts(RECORDS, 20, seed=2) == make_texts(RECORDS, 20, seed=2)
    assert make_texts(RECORDS, 20, seed=2) != make_texts(RECORDS, 20, seed=3)


def test_a_thing_lies_in_the_middle_and_two_lie_where_the_text_says():
    draw = Drawings(squares(), 32)
    one, beside, above, painted = draw(
        [
            Told("red", 0, -1, False, -1, 0),
            Told("red next to green", 0, 1, False, -1, 0),
            Told("red above green", 0, 1, True, -1, 0),
            Told("red on a black background", 0, -1, False, -1, 1),
        ]
    )
    red, green = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.9, 0.1])

    def at(picture, x, y, colour):
        return torch.allclose(picture[:, y, x], colour, atol=0.06)

    white, black = torch.ones(3), torch.zeros(3)
    assert at(one, 16, 16, red)
    assert at(one, 1, 1, white)
    assert at(beside, 8, 16, red)
    assert at(beside, 23, 16, green)
    assert at(above, 16, 8, red)
    assert at(above, 16, 23, green)
    assert at(painted, 16, 16, red)
    assert at(painted, 1, 1, black) or painted[:, 1, 1].max() < 0.2

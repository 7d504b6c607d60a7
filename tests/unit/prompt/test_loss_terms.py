"""Losses as the user writes them."""

import doctest

import pytest

from guidegen.errors import ConfigError
from guidegen.prompt import loss_terms
from guidegen.prompt.loss_terms import (
    LossTerm,
    all_loss_terms,
    loss_options,
    parse_loss_option,
    parse_loss_term,
    parse_loss_terms,
)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("tv=0.3", LossTerm("tv", 0.3)),
        (" tv = -2 ", LossTerm("tv", -2.0)),
        ("my-loss_2.b=1e3:0.25:0.75", LossTerm("my-loss_2.b", 1000.0, 0.25, 0.75)),
        ("tv=1000000:0:1", LossTerm("tv", 1e6)),
        ("tv=0", LossTerm("tv", 0.0)),
    ],
)
def test_a_term_is_a_name_a_weight_and_perhaps_a_part_of_the_run(text, term):
    assert parse_loss_term(text) == term
    assert parse_loss_term(str(term)) == term


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tv", "is not NAME=WEIGHT"),
        ("=1", "is not NAME=WEIGHT"),
        ("tv=", "is not NAME=WEIGHT"),
        ("tv=much", "is not NAME=WEIGHT"),
        ("tv=1:0.5", "is not NAME=WEIGHT"),
        ("tv=1:0:1:2", "is not NAME=WEIGHT"),
        ("a b=1", "is not NAME=WEIGHT"),
        ("tv=nan", "weight must be at most 1,000,000"),
        ("tv=-inf", "weight must be at most 1,000,000"),
        ("tv=1000001", "weight must be at most 1,000,000"),
        ("tv=1:0.5:0.5", "not from 0.5 to 0.5"),
        ("tv=1:-0.1:0.5", "not from -0.1 to 0.5"),
        ("tv=1:0.5:1.1", "not from 0.5 to 1.1"),
        ("tv=1:nan:1", "not from nan to 1"),
    ],
)
def test_what_can_not_be_read_is_refused_in_one_line(text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_loss_term(text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_name_may_come_once():
    assert [term.name for term in parse_loss_terms(["b=1", "a=2"])] == ["b", "a"]
    with pytest.raises(ConfigError, match="'tv' is named twice"):
        parse_loss_terms(["tv=1", "a=2", "tv=3"])


@pytest.mark.parametrize(
    ("term", "weights"),
    [
        (LossTerm("x", 2.0), {0: 2, 0.05: 2, 0.5: 2, 1: 2}),
        (LossTerm("x", 2.0, 0.5, 1.0), {0: 0, 0.5: 0, 0.55: 1, 0.6: 2, 1: 2}),
        (LossTerm("x", 2.0, 0.0, 0.5), {0: 2, 0.4: 2, 0.45: 1, 0.5: 0, 1: 0}),
        (LossTerm("x", -2.0, 0.2, 0.8), {0.1: 0, 0.25: -1, 0.3: -2, 0.7: -2, 0.75: -1, 0.9: 0}),
        # shorter than two tenths: it rises up to the middle and falls from there
        (LossTerm("x", 2.0, 0.5, 0.6), {0.5: 0, 0.525: 1, 0.55: 2, 0.575: 1, 0.6: 0}),
    ],
)
def test_a_term_rises_at_its_beginning_and_falls_to_its_end(term, weights):
    for progress, weight in weights.items():
        assert term.weight_at(progress) == pytest.approx(weight, abs=1e-9)


def test_clip_and_prior_are_always_there_and_the_start_where_it_has_a_weight():
    assert all_loss_terms((), prior=0.5, init=0) == [LossTerm("clip", 1.0), LossTerm("prior", 0.5)]
    (_, _, init) = all_loss_terms((), prior=1.0, init=3.0)
    assert init == LossTerm("init", 3.0)


def test_the_user_gives_any_of_them_another_weight_and_time():
    terms = all_loss_terms(["init=4:0:0.5", "clip=2", "tv=0.1"], prior=1.0, init=0)
    assert [str(term) for term in terms] == ["clip=2.0", "prior=1.0", "init=4.0:0.0:0.5", "tv=0.1"]


@pytest.mark.parametrize(
    ("text", "settings"),
    [("init=1", {"prior": 1.0, "init": 2.0}), ("prior=1", {"prior": 2.0, "init": 0.0})],
)
def test_two_weights_of_one_loss_are_refused(text, settings):
    with pytest.raises(ConfigError, match="has two weights, 2 of its own setting and 1"):
        all_loss_terms([text], **settings)


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(loss_terms).attempted == 2
    assert doctest.testmod(loss_terms).failed == 0


def test_options_go_to_the_loss_that_they_name():
    terms = [LossTerm("tv", 1.0), LossTerm("my.loss", 1.0)]
    texts = ["my.loss.a=1", "my.loss.b = x=y.z", "tv.c="]
    assert loss_options(terms, texts) == {"tv": ["c="], "my.loss": ["a=1", "b=x=y.z"]}


@pytest.mark.parametrize("text", ["palette", "colours=red", ".colours=red", "palette.=red"])
def test_what_is_no_option_of_a_loss_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match=r"write LOSS\.NAME=VALUE"):
        parse_loss_option(text)


def test_an_option_of_a_loss_that_does_not_count_is_refused():
    with pytest.raises(ConfigError, match=r"not asked for; add palette=WEIGHT"):
        loss_options([LossTerm("tv", 1.0)], ["palette.colours=red,blue"])

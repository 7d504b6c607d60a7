"""Prompts of parts of the picture, as the user writes them."""

import doctest
from pathlib import Path

import pytest

from guidegen.errors import ConfigError
from guidegen.prompt import regions
from guidegen.prompt.loss_terms import LossTerm
from guidegen.prompt.regions import Region, parse_region


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("a cat=left", Region("a cat", (0, 0, 0.5, 1), None, LossTerm("region-3", 1.0))),
        ("a=b = Top-Right:2", Region("a=b", (0.5, 0, 1, 0.5), None, LossTerm("region-3", 2.0))),
        ("x=centre", Region("x", (0.25, 0.25, 0.75, 0.75), None, LossTerm("region-3", 1.0))),
        ("x=0,0.5,0.3,1:1:0.2:0.8", Region("x", (0, 0.5, 0.3, 1), None,
                                           LossTerm("region-3", 1.0, 0.2, 0.8))),
        ("x=my masks/a.png:0.5", Region("x", None, Path("my masks/a.png"),
                                        LossTerm("region-3", 0.5))),
        ("x=1:2:0.5:0:1.png:0.5", Region("x", None, Path("1:2:0.5:0:1.png"),
                                         LossTerm("region-3", 0.5))),
        ("x=0.png:2:0.5:0:1", Region("x", None, Path("0.png:2"),
                                     LossTerm("region-3", 0.5, 0.0, 1.0))),
        ("x=C:/a.png", Region("x", None, Path("C:/a.png"), LossTerm("region-3", 1.0))),
    ],
)  # fmt: skip
def test_a_region_is_a_prompt_and_a_place(text, region):
    assert parse_region(text, 3) == region


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a cat", "is not PROMPT=PLACE"),
        ("=left", "is not PROMPT=PLACE"),
        ("a cat=", "is not PROMPT=PLACE"),
        ("a cat=leftish", "no place is called 'leftish'; there are left"),
        ("a cat=left:1:0.5", "comes WEIGHT or WEIGHT:FROM:TO"),
        ("a cat=left:1:0.5:0.2", "from one share of the run to a later one"),
        ("a cat=0,0,1.2,1", "from 0 to 1"),
        ("a cat=0.5,0,0.2,1", "from 0 to 1"),
        ("a cat=0,0,0.01,1", "at least 0.05 a side"),
        ("a cat=0.5,0,0.51,1", "at least 0.05 a side"),
        ("a cat=0,0.5,1,0.5", "at least 0.05 a side"),
        ("a cat=0,0,1", "must be LEFT,TOP,RIGHT,BOTTOM"),
        ("a cat=nan,0,1,1", "no place is called"),
    ],
)
def test_what_can_not_be_read_is_refused_in_one_line(text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_region(text)
    assert "\n" not in str(caught.value)


def test_the_example_of_the_docstring():
    assert doctest.testmod(regions) == (0, 1)

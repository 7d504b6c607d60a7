"""The prompt grammar and the outline of a prompt."""

import math
import random

import pytest

from guidegen.errors import PromptSyntaxError
from guidegen.prompt.grammar import Phrase, Prompt, outline, parse_prompt, parse_scenes

MINUS_INF = -math.inf


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red apple", [("a red apple", 1.0, MINUS_INF)]),
        ("  a red apple  ", [("a red apple", 1.0, MINUS_INF)]),
        ("fox:1.5", [("fox", 1.5, MINUS_INF)]),
        ("fox:2:0.3", [("fox", 2.0, 0.3)]),
        ("fox:1:-inf", [("fox", 1.0, MINUS_INF)]),
        ("fox:1e-1", [("fox", 0.1, MINUS_INF)]),
        ("fox | snow:-.5", [("fox", 1.0, MINUS_INF), ("snow", -0.5, MINUS_INF)]),
        ("note: a cat", [("note: a cat", 1.0, MINUS_INF)]),
        ("ratio 16:9 poster", [("ratio 16:9 poster", 1.0, MINUS_INF)]),
        (r"scale 1\:2", [("scale 1:2", 1.0, MINUS_INF)]),
        (r"a\|b\^c\\d", [(r"a|b^c\d", 1.0, MINUS_INF)]),
        ("das Schloß 🏰 в лесу", [("das Schloß 🏰 в лесу", 1.0, MINUS_INF)]),
    ],
)
def test_grammar(text, expected):
    assert [(p.text, p.weight, p.stop) for p in parse_prompt(text)] == expected


def test_scenes():
    first, second = parse_scenes(r"dawn:2 | sea ^ dusk\^")
    assert first == (Prompt("dawn", 2.0), Prompt("sea"))
    assert second == (Prompt("dusk^"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("fox |", "empty"),
        ("| fox", "empty"),
        (":2", "empty"),
        ("a ^", "empty"),
        ("fox:1.5x", "not a number"),
        ("fox:1,5", "not a number"),
        ("fox:50%", "not a number"),
        ("fox:nan", "not a number"),
        ("fox:0", "not zero"),
        ("fox:inf", "finite"),
        ("fox:-1", "only pushes away"),
    ],
)
def test_what_can_not_be_read_is_refused(text, says):
    with pytest.raises(PromptSyntaxError, match=says):
        parse_scenes(text)


def test_any_prompt_survives_being_written_and_read():
    rng = random.Random(7)
    alphabet = "ab 0.9:|^\\-e%,ßй🍎"
    for _ in range(3000):
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 12))).strip()
        if not text:
            continue
        weight = rng.choice([1.0, 0.5, 2.0, rng.uniform(0.001, 9), 1e-7, 3e20])
        stop = rng.choice([MINUS_INF, -1.5, 0.0, rng.uniform(-2, 2)])
        prompt = Prompt(text, weight, stop)
        assert parse_scenes(str(prompt)) == ((prompt,),), repr(str(prompt))


def test_outline_finds_the_things():
    assert outline("a lonely house in the woods") == (
        Phrase("lonely house"),
        Phrase("woods", count=3, place=True),
    )
    assert outline("two cats under a big moon")[0] == Phrase("cats", count=2)


@pytest.mark.parametrize(
    "text", ["at 10:30", "16:9", "a poster --ar 16:9", "score 3:1:0", "10:30:45"]
)
def test_a_time_or_a_ratio_at_the_end_is_no_weight(text):
    (prompt,) = parse_prompt(text)
    assert (prompt.text, prompt.weight) == (text, 1.0)
    assert parse_prompt(str(prompt)) == (prompt,)


@pytest.mark.parametrize(
    ("text", "weight"),
    [("route 66:2.0", 2.0), ("cat:2", 2.0), ("cat2:3", 3.0), ("take 5:.5", 0.5), ("up 3:-1|b", -1)],
)
def test_behind_a_number_a_weight_has_a_point(text, weight):
    prompt = parse_prompt(text)[0]
    assert prompt.weight == weight
    assert parse_prompt(f"{prompt}|b")[0] == prompt


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a cat | a fox:1.5x", "in prompt 'a cat | a fox:1.5x' the weight '1.5x' is not a number; "
                               "write it like 'a fox:0.5'"),
        ("a cat | | a fox", "the prompt is empty (in 'a cat | | a fox')"),
        ("a cat | fox:0", "in prompt 'a cat | fox:0' the weight must be finite and not zero"),
    ],
)  # fmt: skip
def test_an_error_quotes_the_whole_prompt_and_what_is_wrong_in_it(text, says):
    with pytest.raises(PromptSyntaxError) as caught:
        parse_prompt(text)
    assert says in str(caught.value)


def test_only_the_last_two_numbers_are_no_text():
    (prompt,) = parse_prompt("fox:1.0:2.0:0.5")
    assert prompt == Prompt("fox:1.0", 2.0, 0.5)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a red apple", Phrase("red apple", colour="red")),
        ("a tall grey tower", Phrase("tall grey tower", colour="gray")),
        ("an orange", Phrase("orange")),
        ("a ripe orange", Phrase("ripe orange")),
        ("red", Phrase("red")),
    ],
)
def test_a_colour_stands_before_what_it_colours(text, phrase):
    assert outline(text) == (phrase,)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("palm trees", 3),
        ("the woods", 3),
        ("a forest", 1),
        ("forest", 3),
        ("a dog runs", 1),
        ("grass", 1),
        ("an octopus", 1),
        ("scissors", 1),
        ("two birds", 2),
        ("a pair of red shoes", 2),
        ("a pair of glasses", 1),
    ],
)
def test_a_plural_asks_for_several(text, count):
    (phrase,) = outline(text)
    assert phrase.count == count
    assert "pair" not in phrase.text


@pytest.mark.parametrize("text", ["cup of coffee", "slice of pizza", "bouquet of flowers"])
def test_a_measure_and_its_contents_are_one_thing(text):
    assert outline(f"a {text}") == (Phrase(text),)


def test_what_one_stands_on_is_a_place_if_it_is_land():
    assert outline("a house on a green hill")[1] == Phrase("green hill", place=True, colour="green")
    assert outline("a cat on a chair")[1] == Phrase("chair", relation="below")


@pytest.mark.parametrize("hour", ["night", "Midnight"])
def test_a_night_is_a_dark_backdrop(hour):
    assert outline(f"an owl at {hour}")[1] == Phrase(
        hour, place=True, colour="night", backdrop=True
    )


def test_a_background_is_no_thing_in_the_picture():
    assert outline("a boat, a blue background") == (
        Phrase("boat"),
        Phrase("blue background", colour="blue", backdrop=True),
    )
    assert outline("a blue background") == (Phrase("blue background"),)

"""What is said of a prompt that another program would read otherwise."""

import pytest

from guidegen.prompt.hints import hints


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a (cat:1.3) on a mat", "write 'cat:1.3'"),
        ("[cat:dog:.5]", "no schedule"),
        ("a cat <lora:fur:0.8>", "'<lora:fur:0.8>' names a network"),
        ("a cat --ar 16:9 --v 5", "--ar 16:9"),
        ("красное яблоко", "mostly Cyrillic"),
        ("红苹果", "mostly Chinese"),
        ("تفاحة حمراء", "mostly Arabic"),
        ("🍎🍏", "mostly emoji"),
    ],
)
def test_what_is_not_read_here_is_said(text, says):
    (line,) = hints(text)
    assert says in line
    assert len(line) < 200


@pytest.mark.parametrize(
    "text",
    ["a cat", "a café in Zürich", "a cat (asleep)", "C--ar", "16:9", "a 🐱 mat", "1 + 1", "[x]",
     "a cat | fog:0.3 ^ a dog", "a well-known --- dash"],
)  # fmt: skip
def test_a_plain_prompt_gets_no_hint(text):
    assert hints(text) == []

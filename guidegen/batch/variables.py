"""Variables in prompts: `a {colour} {thing}` and a list for each become every combination.

Torch-free.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

from guidegen.errors import ConfigError

Variables = Mapping[str, Sequence[str]]

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[^\W\d]\w*")


def parse_variable(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `colour=red,blue`; a value with a comma in it stands in double quotes.

    >>> parse_variable('place=Rome,"Paris, France"')
    ('place', ('Rome', 'Paris, France'))

    Raises:
        ConfigError: there is no name or no value.
    """
    name, equals, values = text.partition("=")
    if not equals:
        raise ConfigError(f"write {text!r} as NAME=VALUE,VALUE", field="var")
    (cells,) = list(csv.reader([" ".join(values.split())], skipinitialspace=True)) or [[]]
    return name.strip(), tuple(cell.strip() for cell in cells)


def check_variables(variables: Variables) -> None:
    """Refuse names and lists that can't be used.

    Raises:
        ConfigError: a name is no word, or a list is empty or repeats a value.
    """
    for name, values in variables.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a variable; letters, digits and _ make one")
        if not values or not all(isinstance(value, str) and value for value in values):
            raise ConfigError(f"the variable {name} needs one or more texts, none of them empty")
        if len(set(values)) < len(values):
            raise ConfigError(f"the variable {name} holds the same text twice")


def count(texts: Sequence[str], variables: Variables) -> int:
    """How many combinations `expand` yields.

    Raises:
        ConfigError: as `expand`.
    """
    return prod(len(variables[name]) for name in _names(texts, variables))


def expand(texts: Sequence[str], variables: Variables) -> Iterator[tuple[str, ...]]:
    """The texts with their variables filled in, for every combination of values.

    The last variable changes fastest. `{{` and `}}` are plain braces.

    >>> list(expand(["a {c} cat"], {"c": ["red", "blue"]}))
    [('a red cat',), ('a blue cat',)]

    Args:
        texts: those that vary together: a prompt and its negative prompts.
        variables: name -> values.

    Raises:
        ConfigError: a name is not defined, or a brace stands alone.
    """
    names = _names(texts, variables)
    for values in product(*(variables[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        yield tuple(_fill(text, chosen) for text in texts)


def _names(texts: Sequence[str], variables: Variables) -> list[str]:
    """The variables that the texts use, in order."""
    found: dict[str, None] = {}
    for text in texts:
        if "{" not in text and "}" not in text:
            continue
        for match in _BRACES.finditer(text):
            brace, name = match.group(), match.group(1)
            if brace in ("{{", "}}"):
                continue
            if name is None:
                raise ConfigError(f"a {brace} stands alone; a plain brace is written {brace * 2}")
            if name.strip() not in variables:
                known = f"known: {', '.join(variables)}" if variables else "there are none"
                raise ConfigError(
                    f"{brace} is no variable ({known}); give {name or 'NAME'} some values, "
                    f"or write {{{brace}}} for plain braces"
                )
            found[name.strip()] = None
    return list(found)


def _fill(text: str, values: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group()[0] if name is None else values[name.strip()]

    return _BRACES.sub(one, text) if "{" in text or "}" in text else text

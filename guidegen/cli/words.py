"""What was typed, before it is read: mistyped commands and files that stand where a prompt goes.

Without a command, the first words are prompts; what is surely none is refused before it is drawn.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from guidegen.cli.stdin_list import STDIN
from guidegen.errors import ConfigError

_LISTS = frozenset({".txt", ".csv", ".jsonl", ".toml"})
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
# Words of a sentence that nobody gives as a prompt of its own.
_GLUE = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "with",
        "and",
        "under",
        "over",
        "by",
        "from",
        "to",
        "near",
    ]
)
# `difflib`'s ratio of two words: "shw" and "show" have .86, "shoe" and "show" .75.
_NEAR = 0.76


def spelled_out(words: Sequence[str], commands: Mapping[str, bool]) -> list[str]:
    """The words with `help` and `version` as the flags that they mean, and - as stdin.

    Args:
        words: after the program's name.
        commands: name of a command -> whether it needs an argument.

    Raises:
        ConfigError: the first word is a mistyped command, or the name of a file.
    """
    words = list(words)
    first = words[0] if words else ""
    if first == "help" and all(word in commands for word in words[1:2]):
        return [*words[1:], "--help"]
    if words == ["version"]:
        return ["--version"]
    if first == "batch":
        return [str(STDIN) if word == "-" else word for word in words]
    if first and first not in commands:
        _refuse(first, words[1:], commands)
    return words


def _refuse(first: str, rest: Sequence[str], commands: Mapping[str, bool]) -> None:
    suffix = Path(first).suffix.lower()
    if suffix in _LISTS | _PICTURES and Path(first).is_file():
        what = "batch" if suffix in _LISTS else "show"
        raise ConfigError(f"{first} is a file; did you mean: guidegen {what} {first}")
    # a word that a command without arguments resembles, or that is followed by one
    alone = not rest or rest[0].startswith("-")
    near = [name for name in commands if _resembles(first, name) and not (alone and commands[name])]
    if near and (alone or " " not in rest[0]):
        raise ConfigError(
            f"{first!r} is no command; did you mean guidegen {near[0]}? "
            f"To draw it: guidegen generate {first}"
        )


def _resembles(word: str, name: str) -> bool:
    return bool(get_close_matches(word, [name], n=1, cutoff=_NEAR)) or sorted(word) == sorted(name)


def check_prompts(prompts: Sequence[str], *, each: bool) -> None:
    """Refuse the words of one sentence, given without quotes.

    Args:
        prompts: as they were typed.
        each: every word is meant as a prompt.

    Raises:
        ConfigError: there are several, all of them single words, and one says that they belong
            together.
    """
    if each or len(prompts) < 2 or any(" " in prompt for prompt in prompts):
        return
    if len(prompts) > 2 or any(prompt.lower() in _GLUE for prompt in prompts):
        words = " ".join(prompts)
        raise ConfigError(
            f"{len(prompts)} prompts of one word each; for one picture, quote them: "
            f'guidegen "{words}", for {len(prompts)} pictures add --each'
        )

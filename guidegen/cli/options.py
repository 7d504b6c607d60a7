"""Options of generators and losses, as their listings tell them."""

import math
from collections.abc import Mapping
from typing import Any

from guidegen.backend import Option


def meaning(option: Option) -> str:
    """What an option does and what it can be; choices that its help names are not told twice."""
    if any(choice not in option.help for choice in option.choices):
        return f"{option.help} [{', '.join(option.choices)}]"
    if option.choices or isinstance(option.default, bool | str):
        return option.help
    return f"{option.help} [{option.low:g} to {option.high:g}]"


def options_as_json(options: Mapping[str, Option]) -> dict[str, Any]:
    """Options as JSON: numbers as numbers, None for no bound."""
    return {
        name: {
            "default": option.default,
            "help": option.help,
            "choices": list(option.choices),
            "low": _finite(option.low),
            "high": _finite(option.high),
        }
        for name, option in options.items()
    }


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None

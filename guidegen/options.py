"""Options of a plug-in, which users set as NAME=VALUE. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guidegen.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class Option:
    """A setting of one generator: `--option NAME=VALUE`.

    Attributes:
        default: where the user names none; its type (str, float, int, bool) is that of the value.
        help: one line.
        choices: all that a str can be; empty takes any.
        low: smallest number.
        high: largest number.
    """

    default: str | float | int | bool
    help: str
    choices: tuple[str, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")

    def read(self, name: str, text: str, *, field: str = "option") -> str | float | int | bool:
        """The value that a text means.

        Args:
            name: of the option, in messages.
            text: as the user writes it.
            field: the setting that it was written in.

        Raises:
            ConfigError: it means none.
        """
        if isinstance(self.default, str):
            if self.choices and text not in self.choices:
                raise ConfigError(
                    f"{name} is one of {', '.join(self.choices)}, not {text}", field=field
                )
            return text
        if isinstance(self.default, bool):
            if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
                raise ConfigError(f"{name} is true or false, not {text}", field=field)
            return text.lower() in ("true", "yes", "1")
        try:
            value = type(self.default)(text)
        except ValueError:
            value = None
        if value is None or not self.low <= value <= self.high:
            raise ConfigError(
                f"{name} is a number from {self.low:g} to {self.high:g}, not {text}", field=field
            )
        return value


def read_options(
    owner: str, options: Mapping[str, Option], given: Sequence[str], *, field: str = "option"
) -> dict[str, Any]:
    """Every option with its value: what `given` says ("NAME=VALUE"), else the default.

    Args:
        owner: whose options they are, in messages.
        options: name -> option.
        given: by the user.
        field: the setting that they were written in.

    Raises:
        ConfigError: a value that can't be.
        UnknownNameError: no such option.
    """
    values: dict[str, Any] = {name: option.default for name, option in options.items()}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(f"write {text!r} as NAME=VALUE", field=field)
        if name not in options:
            if not options:
                raise UnknownNameError(f"{owner} has no options, so no {name!r}")
            raise UnknownNameError.of(f"option of {owner}", name, options)
        values[name] = options[name].read(name, value.strip(), field=field)
    return values

"""Every error that guidegen raises on purpose.

    GuidegenError                 1   the root; catch this one
    ├── ConfigError               2   a setting that can't be used (also a ValueError)
    │   ├── PromptSyntaxError     3   a prompt that can't be read
    │   └── PromptListError      10   a prompt list with lines that can't be used
    ├── UnknownNameError          4   no such generator, perceptor or model (also a LookupError)
    ├── WeightsError              5   a checkpoint that is missing, broken or not what it says
    ├── OutputError               6   a place that can't be written (also an OSError)
    ├── InputImageError           7   an image that can't be read
    ├── OptimizationError         8   the loop met a number that is not finite
    ├── DataError                 9   training data or packages that can't be used
    └── RunInterruptedError     130   stopped by Ctrl-C (143: SIGTERM, 129: SIGHUP); all is kept

The number is the exit code of the command line. A message says what, where and what to do next.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class GuidegenError(Exception):
    """Root of the tree.

    Args:
        reason: what is wrong, without the setting's name.
        field: the setting that it is about. Python, TOML and lists spell it as it is, the command
            line as a flag.

    Attributes:
        field: the same; "" where it is about none.
        parts: (field, reason) of each setting that it is about.
    """

    exit_code = 1

    def __init__(self, reason: str, *, field: str = "") -> None:
        self.field = field
        self.parts: tuple[tuple[str, str], ...] = ((field, reason),)
        super().__init__(self.spelled(str))

    def spelled(self, spell: Callable[[str], str]) -> str:
        """The message with each setting's name as `spell` writes it."""
        return self._joined(self.parts, spell)

    @staticmethod
    def _joined(parts: Iterable[tuple[str, str]], spell: Callable[[str], str]) -> str:
        return "; ".join(f"{spell(field)}: {why}" if field else why for field, why in parts)


class ConfigError(GuidegenError, ValueError):
    """A setting that can't be used."""

    exit_code = 2

    @classmethod
    def of(cls, parts: Iterable[tuple[str, str]]) -> "ConfigError":
        """One error of several settings."""
        parts = tuple(parts)
        error = cls(cls._joined(parts, str))
        error.field, error.parts = parts[0][0], parts
        return error


@contextmanager
def about(field: str) -> Iterator[None]:
    """An error from within this block is about this setting, if it names none itself."""
    try:
        yield
    except GuidegenError as error:
        error.field = error.field or field
        raise


class PromptSyntaxError(ConfigError):
    """A prompt that can't be read; the message says which."""

    exit_code = 3


class UnknownNameError(GuidegenError, LookupError):
    """A name that is not in its list; the message offers the nearest ones."""

    exit_code = 4

    @classmethod
    def of(
        cls, kind: str, name: str, known: Iterable[str], *, hint: str = ""
    ) -> "UnknownNameError":
        """Build the message for an unknown `name` of a `kind`, with up to three near names."""
        known = sorted(known)
        near = get_close_matches(name, known, n=3, cutoff=0.4)
        offer = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:12])}"
        return cls(f"no {kind} is called {name!r}; {offer}{' ' + hint if hint else ''}")


class WeightsError(GuidegenError):
    """A checkpoint that is missing, broken or not what it says."""

    exit_code = 5


class OutputError(GuidegenError, OSError):
    """A place that can't be written."""

    exit_code = 6


class InputImageError(GuidegenError, ValueError):
    """An image that can't be read."""

    exit_code = 7


class OptimizationError(GuidegenError, ArithmeticError):
    """The loop met a loss or gradient that is not finite."""

    exit_code = 8


class DataError(GuidegenError, ValueError):
    """Training data or packages that can't be used."""

    exit_code = 9


class RunInterruptedError(GuidegenError):
    """Stopped by the user; what was finished is kept."""

    exit_code = 130

    @classmethod
    def by(cls, signal: int, kept: int) -> "RunInterruptedError":
        """The error of a run that a signal stopped, with `kept` unfinished pictures written."""
        error = cls(
            f"stopped; the {kept} picture{'s' * (kept != 1)} so far and all finished ones are "
            "kept; the same command goes on from here"
        )
        error.exit_code = 128 + signal
        return error

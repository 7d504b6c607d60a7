"""Losses as the user writes them. Torch-free.

A term is `NAME=WEIGHT` or `NAME=WEIGHT:FROM:TO`, an option of its loss `LOSS.NAME=VALUE`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from guidegen.errors import ConfigError

_MAX_WEIGHT = 1_000_000.0
# Share of the run over which a term that does not count from the first step on rises, and over
# which one that ends before the last step falls. A jump would shake the picture: the optimiser's
# step size is still that of the losses before.
_RAMP = 0.1


@dataclass(frozen=True)
class LossTerm:
    """A loss by name, how much it counts, and when.

    Attributes:
        name: of a loss that is installed (see `guidegen.registry.find_loss`).
        weight: times the loss; negative ones seek what the loss avoids.
        begin: share of the run, 0 to 1, at which it begins to rise from nothing; at 0 it counts
            in full from the first step on.
        end: share of the run at which it has fallen to nothing again; at 1 it counts in full up to
            the last step.
    """

    name: str
    weight: float
    begin: float = 0.0
    end: float = 1.0

    def weight_at(self, progress: float) -> float:
        """The weight when a share `progress` of the run is over.

        It rises and falls in a straight line over a tenth of the run, or over half of the time from
        `begin` to `end` where that is less.

        >>> [LossTerm("tv", 4.0, 0.5, 1.0).weight_at(share) for share in (0.5, 0.575, 0.6, 1.0)]
        [0.0, 3.0, 4.0, 4.0]
        """
        ramp = min(_RAMP, (self.end - self.begin) / 2)
        up = 1.0 if self.begin == 0 else (progress - self.begin) / ramp
        down = 1.0 if self.end == 1 else (self.end - progress) / ramp
        # twelve digits: 0.6 - 0.5 is a hair less than a tenth
        return self.weight * round(min(max(min(up, down), 0.0), 1.0), 12)

    def __str__(self) -> str:
        text = f"{self.name}={self.weight!r}"
        return text if (self.begin, self.end) == (0, 1) else f"{text}:{self.begin!r}:{self.end!r}"


def parse_loss_term(text: str) -> LossTerm:
    """Read `NAME=WEIGHT` or `NAME=WEIGHT:FROM:TO`.

    Raises:
        ConfigError: it is written otherwise, or its numbers can't be.
    """
    name, equals, rest = text.partition("=")
    name, parts = name.strip(), rest.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not equals or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or len(numbers) not in (1, 3):
        raise ConfigError(
            f"the loss {text!r} is not NAME=WEIGHT or NAME=WEIGHT:FROM:TO, like tv=0.3 or "
            "tv=0.3:0.5:1 for the second half of the run"
        )
    weight, begin, end = numbers if len(numbers) == 3 else (*numbers, 0.0, 1.0)
    if not abs(weight) <= _MAX_WEIGHT:
        raise ConfigError(f"in the loss {text!r} the weight must be at most {_MAX_WEIGHT:,.0f}")
    if not 0 <= begin < end <= 1:
        raise ConfigError(
            f"the loss {text!r} counts from one share of the run to a later one, both from 0 to 1, "
            f"not from {begin:g} to {end:g}"
        )
    return LossTerm(name, weight, begin, end)


def parse_loss_terms(texts: Sequence[str]) -> list[LossTerm]:
    """Read several, each of another name.

    Raises:
        ConfigError: as `parse_loss_term`, or a name comes twice.
    """
    terms = {}
    for text in texts:
        term = parse_loss_term(text)
        if term.name in terms:
            raise ConfigError(f"the loss {term.name!r} is named twice; once is enough")
        terms[term.name] = term
    return list(terms.values())


@dataclass(frozen=True)
class LossOption:
    """An option of a loss.

    Attributes:
        loss: whose it is.
        text: `NAME=VALUE`, as `guidegen.backend.LossInfo.read_options` takes it.
    """

    loss: str
    text: str


def parse_loss_option(text: str) -> LossOption:
    """Read `LOSS.NAME=VALUE`.

    >>> parse_loss_option("palette.colours=red, #00f")
    LossOption(loss='palette', text='colours=red, #00f')

    Raises:
        ConfigError: it is written otherwise.
    """
    left, equals, value = text.partition("=")
    loss, dot, name = left.strip().rpartition(".")
    if not (equals and dot and loss and name):
        raise ConfigError(
            f"{text!r} is no option of a loss; write LOSS.NAME=VALUE, like palette.colours=red,navy"
        )
    return LossOption(loss, f"{name}={value.strip()}")


def loss_options(terms: Sequence[LossTerm], texts: Sequence[str]) -> dict[str, list[str]]:
    """Name of each term -> the options that are given for its loss.

    Raises:
        ConfigError: one is written otherwise, or its loss is not among the terms.
    """
    found: dict[str, list[str]] = {term.name: [] for term in terms}
    for text in texts:
        option = parse_loss_option(text)
        if option.loss not in found:
            raise ConfigError(
                f"{text!r} is about a loss that is not asked for; add {option.loss}=WEIGHT to the "
                "losses",
                field="loss_option",
            )
        found[option.loss].append(option.text)
    return found


def all_loss_terms(texts: Sequence[str], *, prior: float, init: float) -> list[LossTerm]:
    """The terms of a run: CLIP's distance, the generator's prior and what the user adds.

    Args:
        texts: those of the user, who may name "clip", "prior" and "init" as well.
        prior: weight of the generator's prior; 1 where the user says nothing.
        init: weight of nearness to the start; 0 leaves it out.

    Raises:
        ConfigError: as `parse_loss_terms`, or one loss has two weights.
    """
    terms = {"clip": LossTerm("clip", 1.0), "prior": LossTerm("prior", prior)}
    if init:
        terms["init"] = LossTerm("init", init)
    for term in parse_loss_terms(texts):
        usual = 1.0 if term.name in ("clip", "prior") else 0.0
        other = terms.get(term.name, term).weight
        if term.name in terms and other != usual:
            raise ConfigError(
                f"the loss {term.name!r} has two weights, {other:g} of its own setting and "
                f"{term.weight:g} of the list of losses; leave one out"
            )
        terms[term.name] = term
    return list(terms.values())

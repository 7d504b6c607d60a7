"""RunConfigs from what somebody wrote, and one line for everything that is wrong with it."""

import secrets
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from guidegen.config.run import RunConfig
from guidegen.errors import ConfigError, GuidegenError
from guidegen.presets import apply_preset
from guidegen.prompt.references import MAX_SEED

# A seed that draws one, as in AUTOMATIC1111's web UI. The default is a fixed seed: the same call,
# the same picture.
DRAW = -1
# Seeds that are drawn stay short enough to be typed.
_DRAWN_SEEDS = 2**32


def make_config(fields: Mapping[str, Any]) -> RunConfig:
    """Build a RunConfig, its preset below what `fields` names; the seed -1 draws one.

    Raises:
        ConfigError: a field is wrong or unknown; one line that names each.
    """
    if fields.get("seed") == DRAW:
        fields = {**fields, "seed": secrets.randbelow(_DRAWN_SEEDS)}
    try:
        return RunConfig(**apply_preset(fields))
    except ValidationError as error:
        problems = error.errors()
        inner = problems[0].get("ctx", {}).get("error")
        if len(problems) == 1 and isinstance(inner, GuidegenError):
            inner.field = inner.field or _name(problems[0])
            raise inner from None
        raise ConfigError.of(map(_explain, problems)) from None


def make_configs(fields: Mapping[str, Any], *, count: int) -> list[RunConfig]:
    """`count` RunConfigs with consecutive seeds.

    Raises:
        ConfigError: as `make_config`, or the count is below 1 or leads beyond the last seed.
    """
    base = make_config(fields)
    if count < 1:
        raise ConfigError(f"draw at least 1 picture, not {count}", field="count")
    if base.seed + count - 1 > MAX_SEED:
        highest = MAX_SEED - count + 1
        raise ConfigError(f"with {count} pictures the first can be {highest}", field="seed")
    return [base.model_copy(update={"seed": base.seed + number}) for number in range(count)]


def unknown_setting(name: str, *others: str) -> str:
    """What to say of a name that no setting has.

    Args:
        name: as somebody wrote it.
        others: what may also stand where it does.
    """
    near = nearest_setting(name, *others)
    offer = f"did you mean {near}?" if near else "settings are the fields of RunConfig."
    return f"unknown setting {name!r}; {offer}"


def nearest_setting(name: str, *others: str) -> str:
    """The setting that a misspelt name means; "" where none is near."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").lstrip("_")
    known = [*others, *RunConfig.model_fields]
    return next(iter(get_close_matches(plain, known, n=1, cutoff=0.75)), "")


def _name(problem: Any) -> str:
    return ".".join(str(part) for part in problem["loc"])


def _explain(problem: Any) -> tuple[str, str]:
    """The field and what is wrong with it."""
    name = _name(problem)
    if problem["type"] == "extra_forbidden":
        return "", unknown_setting(name)
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":  # ours, which say what they got
        return name, message
    got = repr(problem.get("input"))
    got = got if len(got) <= 200 else f"{got[:200]}..."
    return name, f"{message[:1].lower()}{message[1:]} (got {got})"

"""Flags made from RunConfig's fields, one field a flag, in groups with the common ones first."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import Group, Parameter

from guidegen.config import RunConfig
from guidegen.engine.groups import COMMON, GROUPS, REST

# A flag of one call: parameter, type, default, its names, what it does.
Flag = tuple[str, Any, Any, list[str], str]

_SHORT = {"generator": "-g", "out": "-o"}
_COMMON = Group("Common", sort_key=1)
_CALL = Group("This call", sort_key=9)
_OF_FIELD = {
    field: Group(name, sort_key=number)
    for number, (name, fields) in enumerate(GROUPS.items(), 2)
    for field in (*fields, name)
}
# Flags of a call that stand among the common ones.
_COMMON_CALLS = frozenset({"count", "pick", "force", "quiet"})
# Settings whose default is the generator's own.
_GENERATORS = frozenset(
    {"steps", "cutouts", "starts", "size", "lr", "start_from"}
    | {"cutout_noise", "cutout_whole", "cutout_scale", "cutout_shift"}
)
_KINDS = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}


def whole(kind: Any, tokens: Sequence[Any]) -> int:
    """A converter for cyclopts, whose own makes 1 of 0.5."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


Whole = Annotated[int, Parameter(converter=whole)]


def signature(words: inspect.Parameter, call_flags: Sequence[Flag]) -> inspect.Signature:
    """What cyclopts reads of a command that draws.

    Args:
        words: the positional arguments.
        call_flags: what is no field of RunConfig.

    Returns:
        The words, a flag for each field of RunConfig but the prompt, and this call's own, which
        stand for a field of the same name.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    taken = {"prompt", *(name for name, *_ in call_flags)}
    fields = [name for name in RunConfig.model_fields if name not in taken]
    common = [name for name in COMMON if name in fields]
    found = [words]
    for name in common:
        found.append(inspect.Parameter(name, keyword, default=None, annotation=_of_field(name)))
    for name, kind, default, names, text in call_flags:
        group = _COMMON if name in _COMMON_CALLS else _CALL
        shown = "" if default in (None, False, ()) else _shown(name, default)
        parameter = Parameter(name=names, help=text + shown, group=group, **_reading(kind))
        found.append(
            inspect.Parameter(name, keyword, default=default, annotation=_annotate(kind, parameter))
        )
    for name in fields:
        if name not in common:
            found.append(inspect.Parameter(name, keyword, default=None, annotation=_of_field(name)))
    return inspect.Signature(found)


def _of_field(name: str) -> Any:
    field = RunConfig.model_fields[name]
    default = field.get_default(call_default_factory=True)
    flag = f"--{name.replace('_', '-')}"
    parameter = Parameter(
        name=[flag, *([_SHORT[name]] if name in _SHORT else [])],
        negative=f"--no-{name.replace('_', '-')}" if field.annotation is bool else (),
        help=f"{field.description or ''}{_shown(name, default)}",
        group=_COMMON if name in COMMON else _OF_FIELD.get(name, _OF_FIELD[REST]),
        # The last of a flag counts, as people expect who put some into a shell alias.
        allow_repeating=None if isinstance(default, tuple) else True,
        # RIGHT,DOWN may begin with a minus
        allow_leading_hyphen=name == "shift",
        **_reading(field.annotation),
    )
    # None stands for "not named", so that --config and the defaults can fill it in.
    optional: Any = field.annotation
    return _annotate(optional | None, parameter)


def _reading(kind: Any) -> dict[str, Any]:
    """How cyclopts converts a value, and what help calls it."""
    kinds = [part for part in _parts(kind) if part is not type(None)]
    if len(kinds) != 1 or get_origin(kinds[0]) is Literal or kinds[0] is bool:
        return {}
    one = kinds[0]
    more = {"converter": whole} if one is int else {}
    return {**more, **({"metavar": _KINDS[one]} if one in _KINDS else {})}


def _parts(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) in (Union, UnionType):
        return get_args(kind)
    # a repeatable flag takes one value each time, so it is named like that value
    return get_args(kind)[:1] if get_origin(kind) is tuple else (kind,)


def _shown(name: str, default: Any) -> str:
    if isinstance(default, bool):
        text = "yes" if default else "no"
    elif default in ((), ""):
        text = "none"
    elif default is None:
        text = "that of the generator" if name in _GENERATORS else "none"
    else:
        text = ", ".join(default) if isinstance(default, tuple) else str(default)
    return f" [default: {text}]"


def _annotate(kind: Any, parameter: Parameter) -> Any:
    return Annotated[kind, parameter]


def declare(command: Any, shape: inspect.Signature) -> None:
    """Let cyclopts see this signature in place of the function's own."""
    command.__signature__ = shape
    command.__annotations__ = {name: part.annotation for name, part in shape.parameters.items()}

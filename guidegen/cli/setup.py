"""`guidegen models setup`: the step from the embedded models to published ones, asked once."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.errors import ConfigError
from guidegen.weights.catalog import Checkpoint, read_registry

# What `--preset vqgan` draws with: the smallest step to pictures of anything.
_DEFAULT = ("ViT-B-32/openai", "vqgan/imagenet-f16-16384")
# Of a household's line: 50 Mbit/s.
_BYTES_PER_MINUTE = 50e6 / 8 * 60


def setup(
    *names: Annotated[
        str,
        Parameter(name="NAME", help="Of guidegen models list [default: those of --preset vqgan]."),
    ],
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], help="Download without asking.")] = False,
    registry: Annotated[
        Path | None, Parameter(name="--registry", help="Another list of checkpoints, a TOML file.")
    ] = None,
) -> None:
    """Get published models that draw anything: shows sizes and minutes, and asks one yes.

    Nothing is downloaded without it.
    """
    from guidegen.cli.models import is_here, pull

    known = read_registry(registry)
    wanted = [known.find(name) for name in dict.fromkeys(names or _DEFAULT)]
    missing = [one for one in wanted if not is_here(one)]
    _show(wanted, missing)
    if missing and not (yes or _agreed()):
        raise ConfigError("nothing was downloaded; guidegen models setup --yes asks no question")
    if missing:
        pull(*(one.name for one in missing), registry=registry)
    _note(f"Now try: {_example(wanted)}")


def _show(wanted: Sequence[Checkpoint], missing: Sequence[Checkpoint]) -> None:
    for one in wanted:
        state = _minutes(_length(one)) if one in missing else "is here"
        _note(f"  {one.name:<28} {one.size_text:>9}  {state:<14} {one.good_for}")
        _note(f"  {'':<28} licence: {one.licence}")
    if len(missing) > 1:
        whole = sum(map(_length, missing))
        _note(f"  {'together':<28} {whole / 1e9:>6.2f} GB  {_minutes(whole)}")


def _length(one: Checkpoint) -> int:
    return one.size or one.about or 0


def _minutes(size: int) -> str:
    minutes = size / _BYTES_PER_MINUTE
    return "under a minute" if minutes < 1 else f"about {minutes:.0f} min"


def _agreed() -> bool:
    """Whether somebody at the terminal says yes; nobody there is a no."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    print("Download (minutes at 50 Mbit/s)? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _example(wanted: Sequence[Checkpoint]) -> str:
    flags = "".join(
        f" --{'perceptor' if one.family == 'clip' else 'generator'} {one.name}" for one in wanted
    )
    usual = {one.name for one in wanted} == set(_DEFAULT)
    return f'guidegen "a lighthouse at night"{" --preset vqgan" if usual else flags}'


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

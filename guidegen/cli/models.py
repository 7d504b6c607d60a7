"""`guidegen models`: the published checkpoints, and those that are here."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from guidegen.cli.help import Columns
from guidegen.cli.setup import setup
from guidegen.errors import ConfigError, GuidegenError, WeightsError
from guidegen.weights.catalog import CLIP, Checkpoint, read_registry

if TYPE_CHECKING:
    from guidegen.weights.http import Progress

HELP = """\
Models that guidegen can draw with: which there are, which are here, and getting them.

Try:
  guidegen models setup                         get those that draw anything, asked once
  guidegen models list                          all of them, with size, licence and use
  guidegen models pull vqgan/imagenet-f16-16384
  guidegen models import last.ckpt --config model.yaml --name vqgan/mine
  guidegen models verify                        is every file what it was?

The weights of generators are downloaded by pull and setup and by nothing else. Without a
connection, copy the file of a checkpoint here and import it. Weights lie in $GUIDEGEN_WEIGHTS, or
where the system keeps a user's data.
"""

models = App(
    name="models",
    help=HELP,
    help_format="plaintext",
    help_formatter=Columns(),
    usage="Usage: guidegen models setup | list | pull | verify | import\n",
    default_parameter=Parameter(negative=(), show_default=False),
    version_flags=(),
)

models.command(setup, usage="Usage: guidegen models setup [NAME...] [OPTIONS]\n")

_Registry = Annotated[
    Path | None, Parameter(name="--registry", help="Another list of checkpoints, a TOML file.")
]
_Json = Annotated[bool, Parameter(name="--json", help="Print JSON.")]


@models.command(name="list")
def list_(*, json_: _Json = False, registry: _Registry = None) -> None:
    """List the published checkpoints, and what else is in the store."""
    rows = _rows(read_registry(registry).checkpoints)
    if json_:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        print(f"{row['name']:<32} {row['state']:<9} {row['size']:>9}  {row['good_for']}")
        print(f"{'':<32} licence: {row['licence']}")


@models.command(usage="Usage: guidegen models pull NAME... [OPTIONS]\n")
def pull(
    *names: Annotated[str, Parameter(name="NAME", help="Of guidegen models list.")],
    force: Annotated[
        bool, Parameter(name="--force", help="Get it again, and replace what is here.")
    ] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="Only errors.")] = False,
    registry: _Registry = None,
) -> None:
    """Download checkpoints, verify them and convert them; interrupted ones go on."""
    if not names:
        raise ConfigError("name what to pull: guidegen models pull NAME (guidegen models list)")
    known = read_registry(registry)
    # a wrong name is refused before the others are fetched
    wanted = [known.find(name) for name in dict.fromkeys(names)]
    from guidegen.weights.pull import pull as get

    note = (lambda text: None) if quiet else _note
    for checkpoint in wanted:
        with _bar(checkpoint, quiet) as progress:
            done = get(checkpoint, force=force, progress=progress, note=note)
        if not quiet:
            _note(f"{done.name} {'was here' if done.already else 'is here'}: {_dropped(done)}")
        print(done.path, flush=True)


@models.command(usage="Usage: guidegen models verify [NAME...] [OPTIONS]\n")
def verify(
    *names: Annotated[str, Parameter(name="NAME", help="Models to check; none means all.")],
    registry: _Registry = None,
) -> None:
    """Compare the SHA-256 of what is here, and of what ships with guidegen, with the recorded."""
    from guidegen.weights.verify import check_names, checks

    known = read_registry(registry)
    found = checks(known)
    check_names(names, found)
    damaged = []
    for name, check in found.items():
        if names and name not in names:
            continue
        try:
            check()
            _check_numbers(name)
        except GuidegenError as error:
            damaged.append(name)
            print(f"{name:<32} damaged: {error}", flush=True)
        else:
            print(f"{name:<32} ok", flush=True)
    if damaged:
        raise WeightsError(
            f"{len(damaged)} damaged: {', '.join(damaged)}; get them again with guidegen models "
            "pull NAME --force (offline: import FILE --name NAME --force)"
        )


def _check_numbers(name: str) -> None:
    """Look at the tensors themselves, which takes torch."""
    from guidegen.weights.store import find_stored

    model = find_stored(name)
    if model is not None:
        from guidegen.weights.convert import check_numbers

        check_numbers(model)


@models.command(name="import", usage="Usage: guidegen models import FILE --name NAME [OPTIONS]\n")
def import_(
    file: Annotated[Path, Parameter(name="FILE", help=".ckpt, .pt, .bin or .safetensors.")],
    /,
    *,
    name: Annotated[
        str, Parameter(name="--name", help="What to call it: vqgan/NAME or biggan/NAME.")
    ],
    config: Annotated[
        Path | None,
        Parameter(name="--config", help="taming's YAML, or the config.json of a BigGAN."),
    ] = None,
    force: Annotated[
        bool, Parameter(name="--force", help="Replace another model of that name.")
    ] = False,
    registry: _Registry = None,
) -> None:
    """Convert a checkpoint file to safetensors, executing nothing that is in it."""
    published = read_registry(registry).checkpoints.get(name)
    from guidegen.weights.convert import import_checkpoint
    from guidegen.weights.store import store_folder

    done = import_checkpoint(
        file, name, store_folder(), config=config, published=published, force=force
    )
    _note(f"{name} {'was here' if done.already else 'is here'}: {done.tensors} tensors{_but(done)}")
    if done.as_published is False:
        _note(f"  {file} is not the file that was published under this name; its config fits")
    print(done.folder)


def _rows(checkpoints: Any) -> list[dict[str, Any]]:
    from guidegen.weights.store import find_stored, installed

    rows = [_row(one, _state(one)) for one in checkpoints.values()]
    for name in installed():
        if name not in checkpoints:
            try:
                state = "imported" if find_stored(name) else "damaged"
            except WeightsError:
                state = "damaged"
            more = Checkpoint(name, name.partition("/")[0], "", "not stated", "safetensors", ())
            rows.append(_row(more, state))
    return rows


def _row(one: Checkpoint, state: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": state,
        "size": one.size_text,
        "bytes": one.size or one.about,
        "sha256": one.sha256,
        "licence": one.licence,
        "good_for": one.good_for,
        "format": one.format,
        "sources": [source.label for source in one.sources],
    }


def is_here(one: Checkpoint) -> bool:
    """Whether a checkpoint need not be downloaded."""
    return _state(one) == "here"


def _state(one: Checkpoint) -> str:
    from guidegen.weights.store import find_stored

    if one.family == CLIP:
        from guidegen.weights.download import in_hub_cache

        return "here" if any(in_hub_cache(source) for source in one.sources) else "not here"
    try:
        return "here" if find_stored(one.name) else "not here"
    except WeightsError:
        return "damaged"


def _dropped(done: Any) -> str:
    return f"SHA-256 {done.sha256[:16]}{_but(done)}"


def _but(done: Any) -> str:
    counts = [f"{count} of {name}" for name, count in done.dropped.items()]
    return f"; left out, since drawing needs none: {', '.join(counts)}" if counts else ""


@contextmanager
def _bar(checkpoint: Checkpoint, quiet: bool) -> Iterator["Progress"]:
    """A bar on a terminal, nothing elsewhere."""
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(unit="B", unit_scale=True, desc=checkpoint.name, disable=hidden) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""`guidegen show`: how a picture was made, and the command that makes it again."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.cli.shown import lines
from guidegen.config import RunConfig
from guidegen.errors import ConfigError, GuidegenError, InputImageError
from guidegen.runs import metadata, store
from guidegen.utils.text import printable, printable_json


def show(
    *pictures: Annotated[
        Path, Parameter(name="PICTURE", help="A picture of guidegen's, or a run directory.")
    ],
    json_: Annotated[
        bool, Parameter(name="--json", help="Print JSON: an object, or a list of several.")
    ] = False,
) -> None:
    """Show how pictures were made, and the commands that make them again."""
    if not pictures:
        raise ConfigError("name a picture: guidegen show outputs/*/image.png")
    # what can't be read is told in the end, and does not hide the others
    failed: list[GuidegenError] = []
    found = []
    for picture in pictures:
        try:
            data = _data(picture)
        except GuidegenError as error:
            if len(pictures) > 1:
                print(f"guidegen: {printable(str(error))}", file=sys.stderr)
            failed.append(error)
            continue
        found.append(data)
        if not json_:
            _print(data, picture if len(pictures) > 1 else None)
    if json_ and found:
        whole = found[0] if len(pictures) == 1 else found
        print(printable_json(whole))
    if len(pictures) > 1 and failed:
        last = InputImageError(f"{len(failed)} of {len(pictures)} could not be shown")
        raise last
    if failed:
        raise failed[0]


def _data(picture: Path) -> dict[str, Any]:
    if picture.is_dir() or picture.name == store.MANIFEST:
        return {"path": str(picture), **_run(picture)}
    return {"path": str(picture), **_image(picture)}


def _print(data: Mapping[str, Any], title: Path | None) -> None:
    """The lines for people; `title` where there are several."""
    data = dict(data)
    del data["path"]
    if title is not None:
        print(f"{printable(str(title))}:")
    shell = data.pop("command")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines(data, width=width):
        print(line)
    print(f"\nMake it again:\n  {shell}" + "\n" * (title is not None))


def _run(path: Path) -> dict[str, Any]:
    run = store.Run.load(path)
    run.config = _placed(run.config, run.path.parent)
    data = run.to_dict()
    for name in ("format", "digest"):
        data.pop(name)
    return data


def _placed(config: RunConfig, folder: Path) -> RunConfig:
    """The config with the place where its run lies, whatever another place the file names."""
    usual = config.out == RunConfig.model_fields["out"].default
    there = store.RunStore(config.out).root.resolve() == folder.resolve()
    return config if usual or there else config.model_copy(update={"out": folder})


def _image(path: Path) -> dict[str, Any]:
    record = metadata.read(path)
    return {
        "config": record.config.model_dump(mode="json", exclude={"out"}),
        "scores": record.scores,
        "models": record.models,
        "version": record.version,
        "command": metadata.command(record.config),
    }

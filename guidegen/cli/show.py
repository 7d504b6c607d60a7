"""`guidegen show`: how a picture was made, and the command that makes it again."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.errors import ConfigError, GuidegenError, InputImageError
from guidegen.runs import metadata, store


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
                print(f"guidegen: {error}", file=sys.stderr)
            failed.append(error)
            continue
        found.append(data)
        if not json_:
            _print(data, picture if len(pictures) > 1 else None)
    if json_ and found:
        whole = found[0] if len(pictures) == 1 else found
        print(json.dumps(whole, ensure_ascii=False, indent=2))
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
        print(f"{title}:")
    config = data.pop("config")
    shell = data.pop("command")
    lines = {name: value for name, value in config.items() if value not in (None, "", [], ())}
    scores = {name: f"{value:.4g}" for name, value in data.pop("scores", {}).items()}
    rest = {name: value for name, value in data.items() if value not in (None, "", {})}
    for name, value in {**lines, **scores, **rest}.items():
        print(f"{name:<14} {_text(value)}".rstrip())
    print(f"\nMake it again:\n  {shell}" + "\n" * (title is not None))


def _run(path: Path) -> dict[str, Any]:
    data = store.Run.load(path).to_dict()
    for name in ("format", "digest"):
        data.pop(name)
    return data


def _image(path: Path) -> dict[str, Any]:
    record = metadata.read(path)
    return {
        "config": record.config.model_dump(mode="json", exclude={"out"}),
        "scores": record.scores,
        "models": record.models,
        "version": record.version,
        "command": metadata.command(record.config),
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(str(part))}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)


def _short(text: str) -> str:
    """A SHA-256 is told by its first digits."""
    return text[:12] if len(text) == 64 else text

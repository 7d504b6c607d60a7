"""`guidegen show`: how a picture was made, and the command that makes it again."""

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.runs import metadata, store


def show(
    picture: Annotated[Path, Parameter(help="A picture of guidegen's, or a run directory.")],
    /,
    *,
    json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False,
) -> None:
    """Show how a picture was made, and the command that makes it again."""
    data = _run(picture) if picture.is_dir() or picture.name == store.MANIFEST else _image(picture)
    if json_:
        print(json.dumps(data, ensure_ascii=False, indent=2))
        return
    config = data.pop("config")
    shell = data.pop("command")
    lines = {name: value for name, value in config.items() if value not in (None, "", [], ())}
    scores = {name: f"{value:.4g}" for name, value in data.pop("scores", {}).items()}
    rest = {name: value for name, value in data.items() if value not in (None, "", {})}
    for name, value in {**lines, **scores, **rest}.items():
        print(f"{name:<14} {_text(value)}".rstrip())
    print(f"\nMake it again:\n  {shell}")


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

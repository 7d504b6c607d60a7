"""`guidegen starts`: what a run would start from, on one sheet, to choose from."""

import inspect
import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.cli.flags import Flag, declare, signature
from guidegen.cli.generate import plan, read_settings
from guidegen.cli.words import check_prompts
from guidegen.config import RunConfig
from guidegen.errors import ConfigError, about
from guidegen.runs.names import slug
from guidegen.runs.output import check_writable, is_picture
from guidegen.utils.files import make_folder, write_atomic


def starts(
    *prompts: str,
    count: int = 16,
    config: Path | None = None,
    json_: bool = False,
    force: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> None:
    """Show what a run would start from, numbered on one sheet, without optimising.

    guidegen PROMPT --pick 3,7 with the same settings goes on from those.
    """
    check_prompts(prompts, each=False)
    given = {name: value for name, value in settings.items() if value is not None}
    merged = {**(read_settings(config) if config else {}), **given}
    configs = plan(prompts, merged, count=1)
    if len(configs) > 1:
        raise ConfigError(f"starts are drawn for one prompt, not for {len(configs)}; quote it")
    path = _place(configs[0], force=force)
    _draw(configs[0], count, path, as_json=json_, quiet=quiet)


def _draw(config: RunConfig, count: int, path: Path, *, as_json: bool, quiet: bool) -> None:
    from guidegen.engine.begin.starts import draw_starts
    from guidegen.media.contact_sheet import contact_sheet

    found = list(draw_starts(config, count))
    lowest = min(start.loss for start in found)
    labels = [
        (start.image, f"{start.number}{' best' * (start.loss == lowest)}  {start.loss:.3f}")
        for start in found
    ]
    sheet = contact_sheet(labels, columns=min(8, max(1, round(count**0.5))))
    buffer = io.BytesIO()
    sheet.save(buffer, _FORMATS[path.suffix.lower()])
    make_folder(path.parent)
    write_atomic(path, buffer.getvalue())
    if as_json:
        for start in found:
            row = {"number": start.number, "loss": start.loss, "sheet": str(path)}
            print(json.dumps(row, ensure_ascii=False))
        return
    print(path, flush=True)
    if not quiet:
        order = sorted(found, key=lambda start: start.loss)
        best = ",".join(str(start.number) for start in order[:2])
        print(
            f"  seed {config.seed}; the same settings with --pick {best}, say, go on from those",
            file=sys.stderr,
        )


def _place(config: RunConfig, *, force: bool) -> Path:
    """Where the sheet goes.

    Raises:
        GuidegenError: it can't be written, or the file that the user names is there already.
    """
    with about("out"):
        check_writable(config.out)
        if is_picture(config.out):
            if config.out.exists() and not force:
                raise ConfigError(f"there is a file at {config.out}; --force replaces it")
            return config.out
    return config.out / f"starts-{slug(config.title)}-{config.seed}.png"


_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_CALL_FLAGS: list[Flag] = [
    ("count", int, 16, ["--count", "-n"], "Starts to draw."),
    (
        "config",
        Path | None,
        None,
        ["--config"],
        "TOML, picture or run whose settings to take.",
    ),
    (
        "json_",
        bool,
        False,
        ["--json"],
        "Print a line of JSON for each start.",
    ),
    ("force", bool, False, ["--force"], "Replace the file that --out names."),
    ("quiet", bool, False, ["--quiet", "-q"], "Only the sheet's path and errors."),
]
_PROMPT = inspect.Parameter(
    "prompts",
    inspect.Parameter.VAR_POSITIONAL,
    annotation=Annotated[str, Parameter(help="What to draw.")],
)
declare(starts, signature(_PROMPT, _CALL_FLAGS))

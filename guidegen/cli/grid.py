"""`guidegen grid`: two settings take all of their values, on one labelled sheet."""

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from guidegen.batch.grid import Grid, check_grid, draw_grid, make_grid, parse_axis
from guidegen.cli.flags import Flag, declare, signature
from guidegen.cli.generate import read_settings
from guidegen.errors import ConfigError, GuidegenError, OutputError, RunInterruptedError
from guidegen.runs import store
from guidegen.utils.signals import stopping_on_signals
from guidegen.utils.stop import Stop

if TYPE_CHECKING:
    from guidegen.engine.stream import Recorders

HELP = """\
Draw every combination of two settings' values, and put them on one labelled sheet.

Try:
  guidegen grid "a red apple" --x lr=0.02,0.05 --y generator=collage,pyramid
  guidegen grid --x "prompt=a cat,a dog" --y seed=0,1,2
  guidegen grid "a fox" --x "cutout_scale=0.5,0.9;0.2,0.9"    values with commas in them

Each cell is a run like any other; the same command goes on where it was stopped.
The path of the sheet goes to stdout, everything else to stderr.
"""


def grid(
    *prompts: str,
    x: str = "",
    y: str = "",
    side: int = 256,
    config: Path | None = None,
    force: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> None:
    """Draw a grid."""
    if len(prompts) > 1:
        raise ConfigError(f"a grid is of one prompt, not {len(prompts)}; vary it: --x prompt=A,B")
    if not 16 <= side <= 1024:
        raise ConfigError(f"from 16 to 1024 pixels, not {side}", field="side")
    axes = parse_axis(x, "x"), parse_axis(y, "y")
    if not any(axis.name for axis in axes):
        raise ConfigError("name what varies, like --x lr=0.02,0.05")
    given = {name: value for name, value in settings.items() if value is not None}
    merged = {**(read_settings(config) if config else {}), **given}
    if prompts:
        merged["prompt"] = prompts[0]
    if "prompt" not in merged and "prompt" not in [axis.name for axis in axes]:
        raise ConfigError('there is no prompt; try: guidegen grid "a red apple" --x seed=0,1,2')
    out = Path(merged.get("out", "outputs"))
    if store.is_picture(out):
        raise OutputError(f"a grid needs a folder, not a picture: --out {out.with_suffix('')}")
    made = make_grid({**merged, "out": out}, *axes)
    store.check_writable(out)
    check_grid(made)
    _draw(made, out, side=side, force=force, quiet=quiet)


def _draw(made: Grid, out: Path, *, side: int, force: bool, quiet: bool) -> None:
    stop, runs, failed = Stop(), dict[int, Path](), 0
    with stopping_on_signals(stop):
        for outcome in draw_grid(made, stop=stop, recorders=_progress(quiet), force=force):
            number, total = outcome.job.number, len(made.configs)
            if outcome.error:
                failed += 1
                print(f"cell {number + 1} of {total}: {outcome.error}", file=sys.stderr, flush=True)
                continue
            runs[number] = out / outcome.run
            if not quiet:
                print(f"{len(runs)} of {total}: {runs[number]}", file=sys.stderr, flush=True)
    sheet = made.write_sheet(out, runs, side=side)
    if stop:
        error = RunInterruptedError("stopped; the same command goes on from here")
        error.exit_code = 128 + stop.signal
        raise error
    print(sheet, flush=True)
    if failed:
        raise GuidegenError(f"{failed} of {len(made.configs)} cells failed; they are grey")


def _progress(quiet: bool) -> "Recorders | None":
    if quiet:
        return None
    from guidegen.recorders.progress import Progress

    return lambda configs: [Progress(", ".join(config.prompt for config in configs))]


_FLAGS: list[Flag] = [
    ("x", str, "", ["--x"], "SETTING=VALUE,VALUE from left to right."),
    ("y", str, "", ["--y"], "SETTING=VALUE,VALUE from top to bottom."),
    ("side", int, 256, ["--side"], "Pixels of a picture on the sheet."),
    ("config", Path | None, None, ["--config"], "TOML file, picture or run with settings."),
    ("force", bool, False, ["--force"], "Draw although identical runs are finished."),
    ("quiet", bool, False, ["--quiet", "-q"], "Only the path and errors."),
]
_PROMPTS = inspect.Parameter(
    "prompts",
    inspect.Parameter.VAR_POSITIONAL,
    annotation=Annotated[str, Parameter(name="PROMPT", help="What to draw in every cell.")],
)
declare(grid, signature(_PROMPTS, _FLAGS))

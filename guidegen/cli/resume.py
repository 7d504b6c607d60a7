"""`guidegen resume`: go on with runs that were stopped or killed."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.cli.generate import draw
from guidegen.errors import ConfigError
from guidegen.runs import store


def resume(
    *paths: Annotated[Path, Parameter(name="RUN", help="Run directory, or a file in it.")],
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], help="Only paths and errors.")
    ] = False,
) -> None:
    """Go on with runs that were stopped or killed, as if nothing had happened.

    Repeating the command that began a run does the same.
    """
    if not paths:
        raise ConfigError("name the run to go on with: guidegen resume outputs/...")
    found = [store.Run.load(store.run_folder(path)) for path in paths]
    if not quiet:
        for run in found:
            if run.status == "finished" and run.ended in store.MEANT:
                print(f"{run.path} is finished", file=sys.stderr)
    from guidegen.engine.generate import check_same

    for run in found:
        check_same(run)
    # to its last step, also where it was to be finished after some minutes
    go_on = [{"out": run.path.parent, "minutes": None} for run in found]
    configs = [run.config.model_copy(update=u) for run, u in zip(found, go_on, strict=True)]
    draw(configs, force=False, quiet=quiet)

"""`guidegen studio`: a page on this machine to make, watch and keep pictures."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.cli.flags import whole
from guidegen.cli.generate import read_settings


def studio(
    *,
    out: Annotated[
        Path, Parameter(name=["--out", "-o"], help="Folder of the runs [default: outputs].")
    ] = Path("outputs"),
    port: Annotated[
        int, Parameter(help="0 takes any that is free [default: 7878].", converter=whole)
    ] = 7878,
    listen: Annotated[
        str, Parameter(help="Address for other machines, like 0.0.0.0; they need a token.")
    ] = "",
    token: Annotated[str, Parameter(help="For --listen [default: drawn at random].")] = "",
    config: Annotated[
        Path | None,
        Parameter(help="TOML file, picture or run with settings below those of the page."),
    ] = None,
    open_: Annotated[bool, Parameter(name="--open", help="Open the page in the browser.")] = False,
) -> None:
    """Open a page on this machine to make, watch and keep pictures.

    Ctrl-C ends it; what is being drawn is saved and goes on at the next start.
    """
    from guidegen.studio.serve import require, serve

    require()
    defaults: dict[str, Any] = read_settings(config) if config else {}
    defaults.pop("prompt", None)

    def opened(address: str) -> None:
        print(address, flush=True)
        print("Ctrl-C ends the studio; pictures at hand are saved", file=sys.stderr, flush=True)
        if open_:
            import webbrowser

            webbrowser.open(address)

    serve(out, port=port, listen=listen, token=token, defaults=defaults, opened=opened)

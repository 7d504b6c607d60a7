"""The command's entry: ready for Ctrl-C and for streams that are closed before more is imported."""

import os
import signal
import sys
from io import TextIOWrapper


def main() -> int:
    """Run the command line; `guidegen.cli.main.main` does the work.

    Returns:
        The exit code.
    """
    try:
        _open_missing()
        from guidegen.cli.main import main as run

        code = run()
        # all is done: a Ctrl-C while Python tidies up would only make a mess of the terminal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return code
    except KeyboardInterrupt:
        print("guidegen: stopped; nothing was being drawn yet", file=sys.stderr)
        return 128 + signal.SIGINT


def _open_missing() -> None:
    """Connect closed standard streams to nowhere (`guidegen ... 2>&-`).

    Else the next file that is opened takes their number, and gets what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # what is opened now takes the lowest free number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or _nowhere(1)
    sys.stderr = sys.stderr or _nowhere(2)


def _nowhere(number: int) -> TextIOWrapper:
    return open(number, "w", encoding="utf-8", errors="replace", closefd=False)

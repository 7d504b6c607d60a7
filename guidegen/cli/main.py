"""The command line's entry: finds the command, turns errors into one line and an exit code.

Exit codes are those of `guidegen.errors`, and 70 for a bug, 141 when nobody reads the output.
A stderr that can't be written changes none; a stdout that can't be written (6) is told when all is
done, and one that was closed from the start is as good as /dev/null.
"""

import gc
import logging
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from guidegen.cli.batch import HELP as BATCH_HELP
from guidegen.cli.batch import batch
from guidegen.cli.caption import caption
from guidegen.cli.classify import classify
from guidegen.cli.embed import embed
from guidegen.cli.generate import generate
from guidegen.cli.generators import generators
from guidegen.cli.grid import HELP as GRID_HELP
from guidegen.cli.grid import grid
from guidegen.cli.help import Columns
from guidegen.cli.losses import losses
from guidegen.cli.models import models
from guidegen.cli.morph import morph
from guidegen.cli.perceptors import perceptors
from guidegen.cli.presets import presets
from guidegen.cli.probe import probe
from guidegen.cli.resume import resume
from guidegen.cli.score import score
from guidegen.cli.search import search
from guidegen.cli.show import show
from guidegen.cli.starts import starts
from guidegen.cli.streams import Warnings, drop, enduring
from guidegen.cli.studio import studio
from guidegen.cli.upscale import upscale
from guidegen.cli.video import video
from guidegen.cli.words import spelled_out
from guidegen.errors import GuidegenError, OutputError, RunInterruptedError
from guidegen.utils.memory import keep_large_buffers
from guidegen.utils.text import printable
from guidegen.utils.versions import own_version

USAGE = 2
BUG = 70
BROKEN_PIPE = 141
# characters of a message: a file may name things at any length
_LONGEST = 4000

SHORT_HELP = """\
guidegen draws a picture of a prompt:

  guidegen "a red apple"
  guidegen "a lighthouse on a cliff | fog:0.3" --seed 7 -n 4

Every setting: guidegen --help
"""

HELP = """\
Draw a picture of a prompt, guided by CLIP.

Try:
  guidegen "a red apple"                        one picture, in outputs/
  guidegen "a red apple" "a green pear" -n 4    four seeds of each
  guidegen "a castle | mountains:0.5 | fog:-0.3" --out castle.png
  guidegen "an owl" --generator fourier --size 768x512 --steps 300 --seed 7
  guidegen show castle.png                      how it was made, and the command

A prompt is text:weight:stop, parts joined by |; a negative weight pushes away.
A flag goes before --config, which goes before what suits the generator.
Paths of finished pictures go to stdout, everything else to stderr.
Anywhere: --verbose tells what is done and chosen, --traceback where an error comes from.
"""

app = App(
    name="guidegen",
    help=HELP,
    usage="Usage: guidegen [generate] PROMPT... [OPTIONS]\n       guidegen COMMAND --help\n",
    help_format="plaintext",
    help_formatter=Columns(),
    version=lambda: f"guidegen {own_version()}",
    default_parameter=Parameter(negative=(), show_default=False),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.default(generate)
app.command(generate, help=HELP, usage="Usage: guidegen generate PROMPT... [OPTIONS]\n")
app.command(batch, help=BATCH_HELP, usage="Usage: guidegen batch FILE [OPTIONS]\n")
app.command(starts, usage="Usage: guidegen starts PROMPT [OPTIONS]\n")
app.command(
    grid, help=GRID_HELP, usage="Usage: guidegen grid [PROMPT] --x NAME=VALUE,... [OPTIONS]\n"
)
app.command(resume, usage="Usage: guidegen resume RUN... [OPTIONS]\n")
app.command(studio)
app.command(video, usage="Usage: guidegen video RUN... [OPTIONS]\n")
app.command(morph, usage="Usage: guidegen morph RUN RUN... [OPTIONS]\n")
app.command(upscale, usage="Usage: guidegen upscale IMAGE... [OPTIONS]\n")
app.command(score, usage="Usage: guidegen score IMAGE... [--prompt TEXT] [OPTIONS]\n")
app.command(embed, usage="Usage: guidegen embed [IMAGE...] [--text TEXT] [OPTIONS]\n")
app.command(search, usage="Usage: guidegen search FOLDER [TEXT] [OPTIONS]\n")
app.command(caption, usage="Usage: guidegen caption IMAGE... [OPTIONS]\n")
app.command(probe)
app.command(classify, usage="Usage: guidegen classify IMAGE... --labels LABELS [OPTIONS]\n")
app.command(show, usage="Usage: guidegen show PICTURE... [OPTIONS]\n")
app.command(generators, usage="Usage: guidegen generators [NAME...] [OPTIONS]\n")
app.command(losses, usage="Usage: guidegen losses [NAME...] [OPTIONS]\n")
app.command(perceptors)
app.command(presets)
app.command(models)
app.register_install_completion_command(
    help="Let your shell complete commands, flags and file names."
)

# Commands that work without an argument.
_ALONE = frozenset({"generators", "losses", "perceptors", "presets", "models", "probe", "studio"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after the program's name; None takes them from the system.

    Returns:
        The exit code.
    """
    with enduring() as out:
        code = _run(argv)
        if out.error is None or code:
            return code
        why = getattr(out.error, "strerror", None) or out.error
        print(f"guidegen: all is done, but can't write to stdout: {why}", file=sys.stderr)
        return OutputError.exit_code


def _run(argv: Sequence[str] | None) -> int:
    # the modules and models of a run all stay: looking for garbage among them costs half a second
    gc.set_threshold(100_000, 20, 100)
    if argv is None:  # a process of its own
        keep_large_buffers()
    words = list(sys.argv[1:] if argv is None else argv)
    options = words[: words.index("--")] if "--" in words else words
    with_traceback = "--traceback" in options
    if with_traceback:
        words.remove("--traceback")
    verbose = "--verbose" in options
    if verbose:
        words.remove("--verbose")
    _show_warnings(verbose)
    if not words:
        print(SHORT_HELP, end="")
        return 0
    try:
        app(spelled_out(words, _commands()), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, like `head`. Python would complain when it flushes.
        drop(sys.stdout)
        return BROKEN_PIPE
    except SystemExit as error:
        # rich, which prints the help, leaves in this way when nobody reads
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:
        if with_traceback:
            for line in traceback.format_exc().splitlines():
                print(printable(line), file=sys.stderr)
        message, code = _explain(error)
        message = printable(" ".join(message.split()))
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}..."
        print(f"guidegen: {message}", file=sys.stderr)
        return code
    return 0


def _commands() -> dict[str, bool]:
    """Every command, and whether it needs an argument."""
    return {name: name not in _ALONE for name in app if not name.startswith("-")}


def _show_warnings(verbose: bool) -> None:
    """The library logs; people read stderr."""
    logger = logging.getLogger("guidegen")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    if not logger.handlers:
        logger.addHandler(Warnings())


def _flag(field: str) -> str:
    """A setting as the command line spells it."""
    return "the prompt" if field == "prompt" else f"--{field.replace('_', '-')}"


def _explain(error: BaseException) -> tuple[str, int]:
    """The one line that people see, and the exit code."""
    if isinstance(error, GuidegenError):
        return error.spelled(_flag), error.exit_code
    if isinstance(error, CycloptsError):
        return f"{error} (see guidegen --help)", USAGE
    if isinstance(error, KeyboardInterrupt):
        return "stopped; nothing was being drawn yet", RunInterruptedError.exit_code
    if isinstance(error, MemoryError):
        return "out of memory; try a smaller --size or --cutout-batch", GuidegenError.exit_code
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", OutputError.exit_code
    what = f"bug: {type(error).__name__}: {error}"
    return f"{what} (please report what --traceback adds to it)", BUG

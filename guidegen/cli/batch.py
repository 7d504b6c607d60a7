"""`guidegen batch`: a list of prompts becomes a folder of pictures with a gallery."""

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from guidegen.batch.prompt_list import PromptList, PromptListError
from guidegen.batch.variables import parse_variable
from guidegen.cli import stdin_list
from guidegen.cli.cluster import named_cluster
from guidegen.cli.flags import Flag, declare, signature
from guidegen.cli.generate import read_settings
from guidegen.config import DRAW, RunConfig
from guidegen.errors import ConfigError, GuidegenError, OutputError, RunInterruptedError
from guidegen.runs import store
from guidegen.utils.signals import stopping_on_signals
from guidegen.utils.stop import Stop

if TYPE_CHECKING:
    from guidegen.batch.results import Result
    from guidegen.batch.run import Executor
    from guidegen.cli.batch_progress import ListProgress

HELP = """\
Draw a list of prompts into one folder, with a gallery.

Try:
  guidegen batch prompts/seeds.txt                 one prompt a line, # comments
  guidegen batch list.csv -n 4 --out outputs/four  a column prompt, others are settings
  guidegen batch list.txt --var colour=red,blue    "a {colour} cat" twice
  guidegen batch list.jsonl --engine ray --address auto
  other-program | guidegen batch -                 a list from stdin, .txt or .jsonl

A .csv, .jsonl or .toml ([[job]] tables) can set anything but --out for each line; a line goes
before a flag. The folder gets index.html, contact-sheet.png, results.csv and results.jsonl.
The same command goes on where it was stopped and draws nothing twice. Exit code 1: some failed.
"""


def batch(
    file: Path,
    *,
    count: int = 1,
    var: tuple[str, ...] = (),
    config: Path | None = None,
    check: bool = False,
    force: bool = False,
    retry_failed: bool = False,
    engine: Literal["local", "ray"] | None = None,
    address: str | None = None,
    workers: int | None = None,
    cores_per_worker: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> None:
    """Draw a list of prompts."""
    given = {name: value for name, value in settings.items() if value is not None}
    below = read_settings(config) if config else {}
    if DRAW in (given.get("seed"), below.get("seed")):
        raise ConfigError(
            "--seed -1: a list needs seeds that stay, or a second call would draw it all again"
        )
    # refused before torch is loaded, which takes seconds
    far = engine == "ray" or any(v is not None for v in (address, workers, cores_per_worker))
    executor = _executor(engine, address, workers, cores_per_worker)
    data = stdin_list.read_stdin() if file == stdin_list.STDIN else None
    default = _folder(file) if data is None else stdin_list.default_folder(data)
    folder = Path(given.get("out") or below.get("out") or default)
    if store.is_picture(folder):
        raise OutputError(f"a list needs a folder, not a picture: --out {folder.with_suffix('')}")
    if data is not None:
        store.check_writable(folder)
        file = stdin_list.keep(data, folder)
    jobs = PromptList(
        file,
        {**given, "out": folder},
        below=below,
        variables=dict(map(parse_variable, var)),
        count=count,
    )
    try:
        jobs.check(_usable_anywhere if far else _usable)
    except PromptListError as error:
        _tell(error)
        raise
    if not quiet:
        _announce(jobs, folder)
    if check:
        return
    _draw(jobs, folder, executor(), force=force, retry_failed=retry_failed, quiet=quiet)


def _usable(config: RunConfig) -> None:
    """Refuse settings that can't be drawn here; the first call loads torch."""
    from guidegen.engine import resolve

    resolve.check([config])


def _usable_anywhere(config: RunConfig) -> None:
    """As `_usable`, but device and weights are another machine's."""
    from guidegen.engine import resolve

    resolve.check([config.model_copy(update={"device": "cpu"})], weights=False)


def _draw(
    jobs: PromptList,
    folder: Path,
    executor: "Executor",
    *,
    force: bool,
    retry_failed: bool,
    quiet: bool,
) -> None:
    from guidegen.batch.run import run_list
    from guidegen.cli.batch_progress import ListProgress

    total = jobs.total - len(jobs.repeats)
    progress = None if quiet or retry_failed else ListProgress(total)
    failed = 0
    stop = Stop()
    results = run_list(
        jobs, folder, executor, force=force, retry_failed=retry_failed, stop=stop,
        watch=None if progress is None else progress.step,
    )  # fmt: skip
    try:
        with stopping_on_signals(stop):
            for result in results:
                failed += result.status == "failed"
                if result.status == "finished":
                    # The path alone, and at once, so that scripts can use it.
                    print(folder / result.image, flush=True)
                _report(jobs.path, result, progress)
    finally:
        if progress is not None:
            progress.close()
    if stop:
        error = RunInterruptedError(
            "stopped; finished pictures are kept and those at hand are saved; "
            "the same command goes on from here"
        )
        error.exit_code = 128 + stop.signal
        raise error
    if not quiet:
        print(f"gallery: {folder / 'index.html'}", file=sys.stderr)
    if failed:
        again = "" if retry_failed else "; --retry-failed draws only these again"
        raise GuidegenError(
            f"{failed} picture{'s' * (failed != 1)} of {jobs.path} failed, all others are "
            f"finished{again}"
        )


def _report(path: Path, result: "Result", progress: "ListProgress | None") -> None:
    failed = result.status == "failed"
    if failed:
        when = "failed earlier" if result.reused else "failed"
        text = f"{path}:{result.line}: {result.prompt[:60]!r} {when}: {result.error}"
        if progress is None:
            print(text, file=sys.stderr, flush=True)
        else:
            progress.say(text)
    if progress is not None:
        progress.finished(reused=result.reused, failed=failed)


def _tell(error: PromptListError) -> None:
    """One line for each problem; main adds the last."""
    if error.total < 2:
        return
    for line, text in error.problems:
        print(f"{error.path}:{line}: {text}", file=sys.stderr)
    if error.total > len(error.problems):
        print(f"... and {error.total - len(error.problems)} more", file=sys.stderr)


def _announce(jobs: PromptList, folder: Path) -> None:
    total = jobs.total - len(jobs.repeats)
    text = f"{jobs.path}: {jobs.lines} prompts, {total} pictures in {folder}"
    if jobs.repeats:
        text += f" ({len(jobs.repeats)} asked for twice are drawn once)"
    print(text, file=sys.stderr, flush=True)


def _folder(file: Path) -> Path:
    return Path("outputs") / store.slug(file.stem)


def _executor(
    engine: str | None, address: str | None, workers: int | None, cores: int | None
) -> Any:
    """What makes the executor: several workers go through Ray, on one machine as well."""
    cluster = named_cluster(engine, address, workers, cores)
    if cluster is not None:
        from guidegen.batch.on_ray.executor import Ray

        return lambda: Ray(
            address=cluster.address, workers=cluster.workers, cores_per_worker=cluster.cores
        )

    def local() -> Any:
        from guidegen.batch.run import Local

        return Local()

    return local


_FLAGS: list[Flag] = [
    ("count", int, 1, ["--count", "-n"], "Pictures of each prompt, seeds one after another."),
    (
        "var",
        tuple[str, ...],
        (),
        ["--var"],
        "NAME=VALUE,VALUE for {NAME} in prompts; may be repeated.",
    ),
    (
        "config",
        Path | None,
        None,
        ["--config"],
        "TOML file, picture or run with settings for all lines.",
    ),
    ("check", bool, False, ["--check"], "Read the list, tell what is wrong with it, draw nothing."),
    ("force", bool, False, ["--force"], "Draw although identical runs are finished."),
    ("retry_failed", bool, False, ["--retry-failed"], "Draw only what failed in an earlier call."),
    (
        "engine",
        Literal["local", "ray"] | None,
        None,
        ["--engine"],
        "local draws in this process; ray on all devices here, or on a cluster.",
    ),
    ("address", str | None, None, ["--address"], "Ray cluster: auto, or HOST:PORT."),
    ("workers", int | None, None, ["--workers"], "Ray workers [default: one a GPU, else a core]."),
    ("cores_per_worker", int | None, None, ["--cores-per-worker"], "CPU cores of a Ray worker."),
    ("quiet", bool, False, ["--quiet", "-q"], "Only paths and errors."),
]
_FILE = inspect.Parameter(
    "file",
    inspect.Parameter.POSITIONAL_ONLY,
    annotation=Annotated[
        Path,
        Parameter(name="FILE", help="Prompt list: .txt, .csv, .jsonl or .toml; - is stdin."),
    ],
)
declare(batch, signature(_FILE, _FLAGS))

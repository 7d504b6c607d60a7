"""Lists and grids in the queue: many runs that the queue counts as one job."""

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidegen.batch.grid import Grid, check_grid, draw_grid, make_grid, parse_axis
from guidegen.batch.prompt_list import PromptList
from guidegen.batch.run import Local, run_list
from guidegen.config import RunConfig
from guidegen.errors import ConfigError
from guidegen.runs.store import slug
from guidegen.studio.form import refuse
from guidegen.studio.queue.drawer import Room
from guidegen.studio.queue.jobs import Job
from guidegen.utils.files import make_folder, write_atomic

if TYPE_CHECKING:
    from guidegen.studio.studio import Studio

MAX_LIST = 4 << 20
_SUFFIXES = (".txt", ".csv", ".jsonl", ".toml")


def keep_list(studio: "Studio", name: str, data: bytes) -> Path:
    """Keep the text of a list as a file of the studio, named by its content.

    Args:
        studio: whose it is.
        name: what the user called it; its end says how it is read, .txt where it says nothing.
        data: the text.
    """
    suffix = Path(name).suffix.lower()
    suffix = suffix if suffix in _SUFFIXES else ".txt"
    folder = studio.places.own / "lists" / hashlib.sha256(data).hexdigest()[:16]
    make_folder(folder)
    return write_atomic(folder / f"{slug(Path(name).stem or 'list')}{suffix}", data)


def open_list(studio: "Studio", path: Path, fields: Mapping[str, Any], count: int) -> PromptList:
    """A list, checked as the command line does, whose paths stay in the output folder.

    Raises:
        PromptListError: lines can't be used; with their numbers.
        ConfigError: the file, or a setting for all lines, can't be used.
    """
    given = {n: v for n, v in fields.items() if n != "prompt"}
    settings = {**given, "out": studio.places.root / slug(path.stem)}
    jobs = PromptList(path, settings, count=count)

    def usable(config: RunConfig) -> None:
        studio.places.allow(config, trusted=studio.defaults)
        refuse([config])

    jobs.check(usable)
    return jobs


def draw_list(studio: "Studio", job: Job, room: Room) -> None:
    """Draw a list into its folder, with its gallery; each line that fails harms only itself."""
    path = studio.places.own / str(job.more["list"])
    jobs = open_list(studio, path, job.fields, int(job.more["count"]))
    folder, done, failed = jobs.settings["out"], 0, 0
    total = jobs.total - len(jobs.repeats)
    studio.queue.change(job.id, total=total, done=0)
    results = run_list(
        jobs, folder, Local(), stop=room.stop, watch=lambda *_: room.give_way(), retry_failed=False
    )
    with closing(results):
        for result in results:
            done += 1
            failed += result.status == "failed"
            studio.queue.change(job.id, done=done, more={**job.more, "failed": failed})
            run = studio.places.name(folder / result.run) if result.run else ""
            told = {"line": result.line, "prompt": result.prompt, "error": result.error}
            data = {"job": job.id, "n": result.job, "run": run, "status": result.status, **told}
            studio.broker.publish("run", f"{job.id} {result.job}", data)
            room.give_way()


def open_grid(studio: "Studio", fields: Mapping[str, Any], x: str, y: str) -> Grid:
    """A grid, checked as the command line does.

    Raises:
        GuidegenError: what can be refused before any work.
    """
    axes = parse_axis(x, "x"), parse_axis(y, "y")
    if not any(axis.name for axis in axes):
        raise ConfigError("name what varies, like lr=0.02,0.05", field="x")
    grid = make_grid({**fields, "out": studio.places.root}, *axes)
    for config in grid.configs:
        studio.places.allow(config, trusted=studio.defaults)
    check_grid(grid)
    return grid


def draw_cells(studio: "Studio", job: Job, room: Room) -> None:
    """Draw the cells of a grid, then its sheet."""
    grid = open_grid(studio, job.fields, str(job.more["x"]), str(job.more["y"]))
    runs: dict[int, str] = {}
    failed: dict[int, str] = {}
    outcomes = draw_grid(grid, stop=room.stop, recorders=lambda _: [room.watch])
    for outcome in outcomes:
        number = outcome.job.number
        if outcome.error:
            failed[number] = outcome.error
        else:
            runs[number] = outcome.run
        more = {**job.more, "failed": {str(n): why for n, why in failed.items()}}
        studio.queue.change(job.id, runs=runs, done=len(runs), more=more)
        room.give_way()
    root = studio.places.root
    sheet = grid.write_sheet(root, {n: root / name for n, name in runs.items()})
    studio.queue.change(job.id, more={**studio.queue.get(job.id).more, "sheet": sheet.name})

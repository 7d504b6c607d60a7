"""Runs of an output folder by what their pictures show."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidegen.errors import InputImageError, OutputError
from guidegen.runs.run import IMAGE, Run, walk_runs
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.search.query import check_folder, check_query, make_query, open_index
from guidegen.zero_shot.search.update import bring_up_to_date


@dataclass(frozen=True)
class RunHit:
    """A run that was found.

    Attributes:
        run: its directory.
        similarity: cosine of its picture to what was asked for, -1 to 1.
    """

    run: Path
    similarity: float


def search_runs(
    out: Path | str,
    text: str = "",
    *,
    images: Sequence[Path | str] = (),
    top: int = 100,
    template: str = "",
    perceptor: str = "embedded",
    device: str = "auto",
    update: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> list[RunHit]:
    """Find runs by what their pictures show, wherever they lie in an output folder.

    An index of the runs' pictures is kept in the folder. The first call reads each picture once;
    every further one reads what is new and then takes milliseconds, plus, with `update`, a look at
    each run's directory. Calls from several threads and processes may overlap.

    Args:
        out: folder of run directories, or of folders of them.
        text: `text:weight`, parts joined by `|`; a negative weight looks away from it.
        images: pictures to be like, PATH or PATH:WEIGHT.
        top: how many.
        template: words around each text, like "a photo of {}", or "imagenet".
        perceptor: the CLIP, as `--perceptor` takes it; the last two are kept in memory.
        device: auto, cpu, cuda, cuda:1 or mps.
        update: look for new, changed and deleted runs first; without it the index is asked as it
            is.
        progress: told (done, total) after each picture that is read.

    Returns:
        The nearest first. A run whose picture can't be read is left out.

    Raises:
        ConfigError: nothing to look for, or no such device.
        InputImageError: no such folder, or a picture to be like that can't be read.
        GuidegenError: a model that can't be used, or an index that can't be written.
    """
    where = check_folder(out)
    check_query(text, images)
    model = open_clip_model(perceptor, device)
    index = open_index(where, model, runs=True)
    try:
        if update:
            for step in bring_up_to_date(where, index, model, pictures=run_pictures):
                if progress is not None:
                    progress(step.done, step.total)
        query = make_query(model, text, images, template)
        return [RunHit((where / path).parent, value) for path, value in index.nearest(query, top)]
    except sqlite3.Error as error:
        raise OutputError(f"can't use the index {index.path}: {error}") from error
    finally:
        index.close()


def run_pictures(out: Path) -> Iterator[Path]:
    """The picture of each run anywhere in a folder that has one; hidden folders are left out."""
    for run, files in walk_runs(out, lambda name: not name.startswith(".")):
        if IMAGE in files:
            yield run / IMAGE


def run_prompt(image: Path) -> str:
    """The prompt of the run that a picture lies in; "" where it can't be read."""
    try:
        return Run.load(image.parent).config.prompt
    except InputImageError:
        return ""

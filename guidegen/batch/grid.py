"""A grid of pictures: two settings take all of their values, each cell is a run."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidegen.batch.prompt_list import Job
from guidegen.config import RunConfig, make_config
from guidegen.errors import ConfigError
from guidegen.runs.store import IMAGE, slug
from guidegen.utils.files import write_atomic
from guidegen.utils.stop import Stop

if TYPE_CHECKING:
    from guidegen.batch.tasks import Outcome
    from guidegen.engine.stream import Recorders

MAX_CELLS = 400


@dataclass(frozen=True)
class Axis:
    """A setting and the values that it takes.

    Attributes:
        name: a field of RunConfig; "" for an axis with a single, unnamed place.
        values: as the user wrote them.
    """

    name: str = ""
    values: tuple[str, ...] = ("",)

    @property
    def labels(self) -> list[str]:
        """What stands at each place of it."""
        if not self.name:
            return [""]
        plain = self.name == "prompt"
        return [value if plain else f"{self.name} {value}" for value in self.values]


def parse_axis(text: str, field: str) -> Axis:
    """Read `SETTING=VALUE,VALUE`; with a semicolon anywhere, semicolons separate instead of commas.

    >>> parse_axis("cutout_scale=0.5,0.9;0.2,0.9", "x").values
    ('0.5,0.9', '0.2,0.9')

    Args:
        text: what the user wrote; "" is an axis with one place.
        field: "x" or "y", for messages.

    Raises:
        ConfigError: it is no axis.
    """
    if not text.strip():
        return Axis()
    name, equals, rest = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not rest.strip(" ,;"):
        raise ConfigError(f"{text!r} is not SETTING=VALUE,VALUE, like lr=0.02,0.05", field=field)
    if name not in RunConfig.model_fields or name == "out":
        raise ConfigError(f"{name!r} is no setting that a grid can vary", field=field)
    separator = ";" if ";" in rest else ","
    values = tuple(value.strip() for value in rest.split(separator) if value.strip())
    if len(set(values)) < len(values):
        raise ConfigError(f"{name} takes a value twice", field=field)
    return Axis(name, values)


@dataclass(frozen=True)
class Grid:
    """Cells row by row, from the top.

    Attributes:
        x: what varies from left to right.
        y: what varies from top to bottom.
        configs: of each cell.
    """

    x: Axis
    y: Axis
    configs: tuple[RunConfig, ...]

    def jobs(self) -> list[Job]:
        """Each cell as a job, whose number is the cell's."""
        return [Job(n, n + 1, "", config, n) for n, config in enumerate(self.configs)]

    def write_sheet(self, folder: Path, runs: Mapping[int, Path], *, side: int = 256) -> Path:
        """Put the pictures of the cells onto one labelled sheet.

        Args:
            folder: where it goes, named by what the grid is of.
            runs: number of a cell -> its run directory; the places of others stay grey.
            side: of a picture in pixels.

        Raises:
            OutputError: it can't be written.
        """
        width = len(self.x.values)
        cells = [runs[n] / IMAGE if n in runs else None for n in range(len(self.configs))]
        rows = [cells[start : start + width] for start in range(0, len(cells), width)]
        from guidegen.media.labelled_grid import labelled_grid  # Pillow, which --help does not need

        sheet = labelled_grid(rows, columns=self.x.labels, rows=self.y.labels, side=side)
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        return write_atomic(folder / self._name(), buffer.getvalue())

    def _name(self) -> str:
        key = b"".join(config.key() for config in self.configs)
        return f"grid-{slug(self.configs[0].prompt)}-{hashlib.sha256(key).hexdigest()[:8]}.png"


def make_grid(settings: Mapping[str, Any], x: Axis, y: Axis) -> Grid:
    """Every combination of the values of two settings.

    Args:
        settings: RunConfig fields of all cells.
        x: from left to right.
        y: from top to bottom.

    Raises:
        ConfigError: a setting is wrong in some cell, both axes vary the same, or cells are too
            many.
    """
    if x.name and x.name == y.name:
        raise ConfigError(f"both axes vary {x.name}", field="y")
    cells = len(x.values) * len(y.values)
    if cells > MAX_CELLS:
        raise ConfigError(f"at most {MAX_CELLS} cells, not {cells}", field="x")
    configs = [
        make_config({**settings, **_set(y, below), **_set(x, right)})
        for below in y.values
        for right in x.values
    ]
    return Grid(x, y, tuple(configs))


def _set(axis: Axis, value: str) -> dict[str, str]:
    return {axis.name: value} if axis.name else {}


def check_grid(grid: Grid) -> None:
    """Refuse what can be refused before any work starts; loads torch.

    Raises:
        GuidegenError: of the first cell that can't be drawn.
    """
    from guidegen.engine.resolve import check

    check(grid.configs)


def draw_grid(
    grid: Grid,
    *,
    stop: Stop | None = None,
    recorders: "Recorders | None" = None,
    force: bool = False,
) -> "Iterator[Outcome]":
    """Draw all cells; yields an `Outcome` of each, whose job's number is the cell's.

    A cell that was drawn before is found again; one that fails harms only itself.

    Args:
        grid: checked.
        stop: once it is set, what is at hand is saved.
        recorders: as `guidegen.engine.generate.generate` takes them.
        force: draw although identical runs are finished.
    """
    from guidegen.batch.tasks import draw, tasks
    from guidegen.engine.build import WIDTH

    stop = Stop() if stop is None else stop
    for task in tasks(iter(grid.jobs()), width=WIDTH, force=force):
        if stop:
            return
        yield from draw(task, stop, recorders)

"""A static page of all pictures of a list; it needs no server and loads nothing from elsewhere."""

import io
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from guidegen.batch.results import FAILED, FINISHED, ResultLog
from guidegen.errors import OutputError
from guidegen.media.contact_sheet import contact_sheet
from guidegen.utils.files import write_atomic

if TYPE_CHECKING:
    from jinja2 import Template

log = logging.getLogger(__name__)

PAGE = "index.html"
SHEET = "contact-sheet.png"
THUMBNAILS = "thumbs"
# Pictures on one page and on one contact sheet: what a browser and a viewer like to show.
PER_PAGE = 1000
PER_SHEET = 200
_SIDE = 320


class Gallery:
    """`index.html`, small pictures in `thumbs/` and contact sheets of one batch folder.

    A list of more than 1000 pictures has several pages; its contact sheets hold 200 pictures each.

    Args:
        folder: the batch folder.
        title: what stands on top.
        results: what is known of the jobs.
        total: number of jobs.
    """

    def __init__(self, folder: Path, title: str, results: ResultLog, total: int) -> None:
        self.folder, self.title, self.results, self.total = folder, title, results, total
        self._changed: set[int] = set()

    def thumbnail(self, image: Path, *, new: bool) -> str:
        """Make the small picture of a run, if there is none or the run is new.

        Returns:
            Its path inside the folder; "" if the picture can't be read.

        Raises:
            OutputError: it can't be written.
        """
        name = f"{THUMBNAILS}/{image.parent.name}.webp"
        path = self.folder / name
        if not new and path.is_file():
            return name
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"can't make {path.parent}: {error.strerror or error}") from error
        buffer = io.BytesIO()
        try:
            with Image.open(image) as whole:
                small = whole.convert("RGB")
            small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            small.save(buffer, "WEBP", quality=82)
        except OSError as error:
            log.warning("no small picture of %s: %s", image, error)
            return ""
        write_atomic(path, buffer.getvalue())
        return name

    def changed(self, number: int) -> None:
        """A job's result is new: its page is out of date."""
        self._changed.add(number // PER_PAGE)

    def write(self, *, running: bool) -> None:
        """Bring the pages up to date; each is replaced as a whole.

        Args:
            running: more pictures come; then only pages that changed are written.

        Raises:
            OutputError: a page can't be written.
        """
        pages = -(-self.total // PER_PAGE)
        for page in sorted({0, *self._changed}) if running else range(pages):
            first, last = page * PER_PAGE, min(self.total, (page + 1) * PER_PAGE)
            text = _template().render(
                title=self.title,
                status=self._status(running),
                results=self.results.results(first, last),
                side=_SIDE,
                sheet=SHEET,
                page=page,
                pages=[_page_name(number) for number in range(pages)],
            )
            write_atomic(self.folder / _page_name(page), text.encode("utf-8", "replace"))
        self._changed.clear()

    def contact_sheets(self) -> list[Path]:
        """Write the finished pictures onto contact sheets, in the order of the list.

        Raises:
            OutputError: a sheet can't be written.
        """
        sheets: list[Path] = []
        waiting: list[tuple[Path, str]] = []
        for found in self.results.results():
            if found.status == FINISHED:
                waiting.append((self.folder / (found.thumbnail or found.image), found.prompt))
            if len(waiting) == PER_SHEET:
                sheets.append(self._sheet(waiting, len(sheets)))
                waiting = []
        if waiting:
            sheets.append(self._sheet(waiting, len(sheets)))
        return sheets

    def _sheet(self, pictures: list[tuple[Path, str]], number: int) -> Path:
        path = self.folder / SHEET
        if number:
            path = path.with_stem(f"{path.stem}-{number + 1}")
        buffer = io.BytesIO()
        contact_sheet(pictures).save(buffer, "PNG")
        return write_atomic(path, buffer.getvalue())

    def _status(self, running: bool) -> str:
        finished, failed = self.results.counted(FINISHED), self.results.counted(FAILED)
        parts = [f"{finished} of {self.total} pictures"]
        if failed:
            parts.append(f"{failed} failed")
        if running:
            parts.append("still drawing, reload for more")
        return ", ".join(parts)


@cache
def _template() -> "Template":
    """The page; whatever a result holds is escaped where it stands."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("guidegen.batch", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("gallery.html")


def _page_name(page: int) -> str:
    return PAGE if page == 0 else f"page-{page + 1}.html"

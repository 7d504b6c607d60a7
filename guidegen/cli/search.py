"""`guidegen search`: pictures of a folder by what they show."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from guidegen.cli import tables
from guidegen.errors import ConfigError

if TYPE_CHECKING:
    from guidegen.clip.perceptor import CLIPPerceptor
    from guidegen.zero_shot.search.index import Index
    from guidegen.zero_shot.search.query import Hit


def search(
    folder: Annotated[Path, Parameter(help="All pictures in it and below.")],
    text: Annotated[
        str, Parameter(help="What they show: text:weight, parts joined by |; negative looks away.")
    ] = "",
    /,
    *,
    image: Annotated[
        tuple[str, ...],
        Parameter(name=["--image", "-i"], help="Picture to be like, PATH or PATH:WEIGHT."),
    ] = (),
    top: Annotated[
        int, Parameter(name=["--top", "-k"], help="Pictures to show [default: 10].")
    ] = 10,
    sheet: Annotated[Path | None, Parameter(help="Write a contact sheet, x.png.")] = None,
    html: Annotated[Path | None, Parameter(help="Write a page with the pictures, x.html.")] = None,
    duplicates: Annotated[
        float | None,
        Parameter(help="Show groups of pictures alike from this cosine on, like 0.97."),
    ] = None,
    update: Annotated[
        bool,
        Parameter(negative="--no-update", help="Look for new, changed and deleted files first."),
    ] = True,
    template: tables.Template = "",
    perceptor: tables.Model = "embedded",
    json_: tables.Json = False,
    csv_: tables.Csv = False,
    device: tables.Device = "auto",
) -> None:
    """Find pictures in a folder by words, by a picture, or by both.

    The index lies in the folder, one hidden file, and is brought up to date by itself.
    """
    tables.check_format(as_json=json_, as_csv=csv_)
    if top < 1:
        raise ConfigError(f"--top: show at least 1 picture, not {top}")
    if duplicates is not None and not 0 < duplicates <= 1:
        raise ConfigError(f"--duplicates: a cosine above 0, up to 1, not {duplicates}")
    from guidegen.zero_shot.models import open_clip_model
    from guidegen.zero_shot.search import query as engine

    engine.check_folder(folder)
    if duplicates is None:
        engine.check_query(text, image)
    model = open_clip_model(perceptor, device)
    index = engine.open_index(folder, model)
    try:
        if update:
            _update(folder, index, model)
        if duplicates is not None:
            _duplicates(folder, index, duplicates, as_json=json_)
            return
        query = engine.make_query(model, text, image, template)
        hits = [engine.Hit(folder / path, value) for path, value in index.nearest(query, top)]
    finally:
        index.close()
    _print(hits, as_json=json_, as_csv=csv_)
    if sheet is not None:
        _sheet(hits, sheet)
    if html is not None:
        from guidegen.zero_shot.search.page import write_page

        write_page(html, text or ", ".join(image), hits)
        tables.note(str(html))


def _print(hits: Sequence["Hit"], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        for hit in hits:
            tables.print_json({"path": hit.path, "similarity": hit.similarity})
    elif as_csv:
        tables.print_csv(
            [{"path": hit.path, "similarity": f"{hit.similarity:.6f}"} for hit in hits]
        )
    else:
        tables.print_table(
            ["picture", "similarity"], [[str(hit.path), f"{hit.similarity:.3f}"] for hit in hits]
        )
    if not hits:
        tables.note("guidegen: there are no pictures in the index")


def _update(folder: Path, index: "Index", model: "CLIPPerceptor") -> None:
    """Bring the index up to date; how far it is goes to stderr, on a terminal only."""
    from tqdm import tqdm

    from guidegen.zero_shot.search.update import bring_up_to_date

    with tqdm(
        desc="indexing", unit="picture", leave=False, disable=not sys.stderr.isatty()
    ) as shown:
        for step in bring_up_to_date(folder, index, model):
            shown.total = step.total
            shown.update(step.done - shown.n)
            if step.error:
                tqdm.write(f"guidegen: {step.error}", file=sys.stderr)


def _duplicates(folder: Path, index: "Index", threshold: float, *, as_json: bool) -> None:
    from guidegen.zero_shot.search.duplicates import duplicates

    groups = duplicates(index, threshold=threshold)
    for number, group in enumerate(groups):
        if as_json:
            tables.print_json({"alike": [{"path": folder / p, "similarity": s} for p, s in group]})
            continue
        if number:
            print()
        for path, similarity in group:
            print(f"{similarity:.3f}  {folder / path}")
    count = sum(map(len, groups))
    tables.note(f"{len(groups)} groups, {count} of {len(index)} pictures")


def _sheet(hits: Sequence["Hit"], out: Path) -> None:
    import io

    from guidegen.media.contact_sheet import contact_sheet
    from guidegen.utils.files import write_atomic

    if out.suffix.lower() != ".png":
        raise ConfigError(f"--sheet names a .png file, not {out}")
    buffer = io.BytesIO()
    contact_sheet([(hit.path, f"{hit.similarity:.3f} {hit.path.stem}") for hit in hits]).save(
        buffer, "PNG"
    )
    write_atomic(out, buffer.getvalue())
    tables.note(str(out))

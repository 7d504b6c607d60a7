"""`guidegen search`: pictures of a folder by what they show."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from guidegen.cli import tables
from guidegen.errors import ConfigError

if TYPE_CHECKING:
    from guidegen.zero_shot.search.index import Index
    from guidegen.zero_shot.search.query import Hit
    from guidegen.zero_shot.search.update import Update


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
    runs: Annotated[
        bool, Parameter(help="FOLDER is outputs/: find runs, and show their prompts.")
    ] = False,
    template: tables.Template = "",
    perceptor: tables.Model = "embedded",
    ignore_text: tables.IgnoreText = False,
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
    from guidegen.zero_shot.ignore_text import wordless
    from guidegen.zero_shot.models import open_clip_model
    from guidegen.zero_shot.pictures import walk
    from guidegen.zero_shot.search import query as engine
    from guidegen.zero_shot.search.runs import run_pictures, run_prompt
    from guidegen.zero_shot.search.update import bring_up_to_date

    engine.check_folder(folder)
    if duplicates is None:
        engine.check_query(text, image)
    prepare = wordless(ignore_text)
    model = open_clip_model(perceptor, device)
    index = engine.open_index(folder, model, runs=runs, ignore_text=ignore_text)
    try:
        if update:
            steps = bring_up_to_date(
                folder, index, model, pictures=run_pictures if runs else walk, prepare=prepare
            )
            _show(steps)
        if duplicates is not None:
            _duplicates(folder, index, duplicates, as_json=json_)
            return
        query = engine.make_query(model, text, image, template, prepare=prepare)
        hits = [engine.Hit(folder / path, value) for path, value in index.nearest(query, top)]
    finally:
        index.close()
    prompts = [run_prompt(hit.path) for hit in hits] if runs else []
    _print(hits, prompts, as_json=json_, as_csv=csv_)
    if sheet is not None:
        _sheet(hits, sheet)
    if html is not None:
        from guidegen.zero_shot.search.page import write_page

        write_page(html, text or ", ".join(image), hits, prompts)
        tables.note(str(html))


def _print(hits: Sequence["Hit"], prompts: Sequence[str], *, as_json: bool, as_csv: bool) -> None:
    rows = [{"path": hit.path, "similarity": hit.similarity} for hit in hits]
    if prompts:  # of runs
        rows = [
            {"run": hit.path.parent, "prompt": prompt, "similarity": hit.similarity}
            for hit, prompt in zip(hits, prompts, strict=True)
        ]
    if as_json:
        for row in rows:
            tables.print_json(row)
    elif as_csv:
        tables.print_csv([{**row, "similarity": f"{row['similarity']:.6f}"} for row in rows])
    elif rows:
        head = ["picture" if name == "path" else name for name in rows[0]]
        tables.print_table(
            head,
            [
                [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()]
                for row in rows
            ],
        )
    if not hits:
        tables.note("guidegen: there are no pictures in the index")


def _show(steps: Iterable["Update"]) -> None:
    """Bring the index up to date; how far it is goes to stderr, on a terminal only."""
    from tqdm import tqdm

    with tqdm(
        desc="indexing", unit="picture", leave=False, disable=not sys.stderr.isatty()
    ) as shown:
        for step in steps:
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

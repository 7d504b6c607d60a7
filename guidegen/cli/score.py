"""`guidegen score`: how well pictures fit their prompts."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.cli import tables
from guidegen.errors import ConfigError, InputImageError


def score(
    *pictures: Annotated[Path, Parameter(name="IMAGE", help="Pictures, and folders of them.")],
    prompt: Annotated[
        str | None,
        Parameter(
            name=["--prompt", "-p"],
            help="What all of them should show [default: what each file tells, ours or A1111's].",
        ),
    ] = None,
    among: Annotated[
        Path | None,
        Parameter(help="Text file of further prompts, one a line, to rank each picture among."),
    ] = None,
    template: tables.Template = "",
    perceptor: Annotated[
        tuple[str, ...],
        Parameter(
            name="--perceptor",
            help="CLIP as NAME/TAG, local-dir:PATH or embedded; repeatable. One that did not "
            "guide the picture is the fairer judge.",
        ),
    ] = ("embedded",),
    ignore_text: tables.IgnoreText = False,
    json_: tables.Json = False,
    csv_: tables.Csv = False,
    device: tables.Device = "auto",
) -> None:
    """Say how well pictures fit their prompts, and whether their own prompt fits them best."""
    if not pictures:
        raise ConfigError("name a picture: guidegen score picture.png --prompt 'a red apple'")
    tables.check_format(as_json=json_, as_csv=csv_)
    from guidegen.zero_shot.labels import read_labels
    from guidegen.zero_shot.score import r_precision
    from guidegen.zero_shot.score import score as compute

    others = read_labels(among) if among is not None else []
    found = compute(
        pictures,
        prompt,
        among=others,
        template=template,
        perceptors=perceptor,
        ignore_text=ignore_text,
        device=device,
    )
    good = [each for each in found if not each.error]
    for each in found:
        if each.error:
            tables.note(f"guidegen: {each.error}")
    rows = [
        {
            "path": str(each.path),
            "prompt": each.prompt,
            **{f"similarity {name}": value for name, value in each.similarity.items()},
            **{f"rank {name}": place for name, place in each.rank.items()},
        }
        for each in good
    ]
    if json_:
        for row in rows:
            tables.print_json(row)
    elif csv_:
        tables.print_csv(rows)
    elif rows:
        head = ["picture", *list(rows[0])[1:]]
        tables.print_table(head, [[tables.cell(value) for value in row.values()] for row in rows])
    for name, share in r_precision(good).items():
        tables.note(f"R-precision {name}: {share:.1%} of {len(good)} pictures")
    if not good:
        raise InputImageError("none of the pictures has a score")

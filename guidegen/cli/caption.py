"""`guidegen caption`: what a picture shows, as a prompt to start from."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from guidegen.cli import tables
from guidegen.errors import ConfigError, InputImageError


def caption(
    *pictures: Annotated[Path, Parameter(name="IMAGE", help="Pictures, and folders of them.")],
    vocabulary: Annotated[
        str,
        Parameter(
            help="drawings (what the collage can draw), nouns (3,445 usual ones of WordNet), "
            "all-nouns (37,671), imagenet, a file with one name a line, or 'a cat,a dog' [default: "
            "drawings]."
        ),
    ] = "drawings",
    top: Annotated[
        int, Parameter(name=["--top", "-k"], help="Names to show beside the prompt [default: 5].")
    ] = 5,
    perceptor: tables.Model = "embedded",
    ignore_text: tables.IgnoreText = False,
    json_: tables.Json = False,
    csv_: tables.Csv = False,
    device: tables.Device = "auto",
) -> None:
    """Say what pictures show, in names of a vocabulary put together to a prompt."""
    if not pictures:
        raise ConfigError("name a picture: guidegen caption picture.png")
    if top < 1:
        raise ConfigError(f"--top: show at least 1 name, not {top}")
    tables.check_format(as_json=json_, as_csv=csv_)
    from guidegen.zero_shot.caption import caption as compute

    found = compute(
        pictures,
        vocabulary=vocabulary,
        top=top,
        perceptor=perceptor,
        ignore_text=ignore_text,
        device=device,
    )
    good = [each for each in found if not each.error]
    for each in found:
        if each.error:
            tables.note(f"guidegen: {each.error}")
    if json_:
        for each in good:
            tables.print_json({**vars(each), "names": dict(each.names)})
    elif csv_:
        tables.print_csv(
            [
                {"path": each.path, "prompt": each.prompt, "similarity": f"{each.similarity:.6f}"}
                for each in good
            ]
        )
    else:
        tables.print_table(
            ["picture", "prompt", "similarity", "nearest names"],
            [
                [
                    str(each.path), each.prompt, f"{each.similarity:.3f}",
                    ", ".join(f"{name} {value:.2f}" for name, value in each.names),
                ]
                for each in good
            ],
        )  # fmt: skip
    if not good:
        raise InputImageError("none of the pictures can be read")

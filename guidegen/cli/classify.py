"""`guidegen classify`: which of some labels a picture shows."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.cli import tables
from guidegen.errors import ConfigError, InputImageError

_CONFUSIONS = 20


def classify(
    *pictures: Annotated[Path, Parameter(name="IMAGE", help="Pictures, and folders of them.")],
    labels: Annotated[
        str,
        Parameter(
            name=["--labels", "-l"],
            help="'a cat,a dog', a file with one a line, a folder whose subfolders' names they "
            "are, or imagenet.",
        ),
    ] = "",
    template: tables.Template = "",
    perceptor: tables.Model = "embedded",
    top: Annotated[
        int, Parameter(name=["--top", "-k"], help="Labels to show of each picture [default: 5].")
    ] = 5,
    accuracy: Annotated[
        bool,
        Parameter(
            help="Pictures lie in folders named like their labels: how often the label is right, "
            "without and with the template, and what is taken for what."
        ),
    ] = False,
    ignore_text: tables.IgnoreText = False,
    json_: tables.Json = False,
    csv_: tables.Csv = False,
    device: tables.Device = "auto",
) -> None:
    """Say which of the labels each picture shows, without training.

    Probabilities are over the labels that are given: something else is not among the answers.
    """
    if not pictures:
        raise ConfigError("name a picture: guidegen classify picture.png --labels 'a cat,a dog'")
    if not labels and len(pictures) == 1 and pictures[0].is_dir() and accuracy:
        labels = str(pictures[0])
    if not labels:
        raise ConfigError("name the labels: --labels 'a cat,a dog', a file of them, or imagenet")
    if top < 1:
        raise ConfigError(f"--top: show at least 1 label, not {top}")
    tables.check_format(as_json=json_, as_csv=csv_)
    from guidegen.zero_shot import classify as zero_shot

    settings: dict[str, Any] = {
        "perceptor": perceptor, "ignore_text": ignore_text, "device": device,
    }  # fmt: skip
    if accuracy:
        _accuracy(pictures, labels, template, settings, as_json=json_)
        return
    rows, failed, count = [], 0, 0
    found = zero_shot.iterate(pictures, labels, template=template, top=top, **settings)
    for each in found:
        count += 1
        if each.error:
            failed += 1
            tables.note(f"guidegen: {each.error}")
        elif json_:
            known = dict(zip(each.labels, each.probabilities, strict=True))
            tables.print_json({"path": each.path, "labels": known})
        else:
            rows.append(each)
    if csv_:
        tables.print_csv(
            [
                {"path": each.path, "rank": rank, "label": label, "probability": f"{share:.6f}"}
                for each in rows
                for rank, (label, share) in enumerate(
                    zip(each.labels, each.probabilities, strict=True), 1
                )
            ]
        )
    else:
        tables.print_table(
            ["picture", "label", "", "then"],
            [
                [str(each.path), each.label, f"{each.probabilities[0]:.1%}", _rest(each)]
                for each in rows
            ],
        )
    if failed == count:
        raise InputImageError("none of the pictures can be read")


def _rest(each: Any) -> str:
    pairs = list(zip(each.labels, each.probabilities, strict=True))[1:]
    return ", ".join(f"{label} {share:.1%}" for label, share in pairs)


def _accuracy(
    pictures: tuple[Path, ...],
    labels: str,
    template: str,
    settings: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    from guidegen.zero_shot import classify as zero_shot

    templates = [""] if template == "" else ["", template]
    figures = {}
    for words in templates:
        found = zero_shot.classify(pictures, labels, template=words, top=5, **settings)
        for picture in found:
            if picture.error and not words:
                tables.note(f"guidegen: {picture.error}")
        figures[words or "none"] = zero_shot.accuracy(found)
    if as_json:
        for name, each in figures.items():
            tables.print_json({"template": name, **vars(each)})
        return
    tables.print_table(
        ["template", "pictures", "top-1", "top-5"],
        [
            [name, str(each.pictures), f"{each.top1:.1%}", f"{each.top5:.1%}"]
            for name, each in figures.items()
        ],
    )
    confusions = figures["none"].confusions[:_CONFUSIONS]
    if confusions:
        print()
        tables.print_table(
            ["what it is", "taken for", "times"],
            [[right, said, str(count)] for right, said, count in confusions],
        )

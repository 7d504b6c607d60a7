"""`guidegen probe`: classifiers learned from a few pictures or many."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from guidegen.cli import tables
from guidegen.errors import ConfigError, InputImageError

probe = App(name="probe", help="Learn to tell labels apart from example pictures, and apply it.")


@probe.command
def train(
    folder: Annotated[Path, Parameter(help="With a folder of pictures for each label.")],
    /,
    *,
    out: Annotated[
        Path, Parameter(name=["--out", "-o"], help="File to write [default: probe.safetensors].")
    ] = Path("probe.safetensors"),
    kind: Annotated[
        Literal["logistic", "cache"],
        Parameter(
            help="logistic: regression on the features, for many pictures; cache: words and known "
            "pictures together, for few, without training [default: logistic]."
        ),
    ] = "logistic",
    shots: Annotated[
        int | None, Parameter(help="Pictures of each label to learn from [default: all].")
    ] = None,
    c: Annotated[
        float, Parameter(name="--c", help="Inverse strength of the penalty [default: 0.316].")
    ] = 0.316,
    seed: Annotated[int, Parameter(help="Of the draw of the shots.")] = 0,
    perceptor: tables.Model = "embedded",
    device: tables.Device = "auto",
) -> None:
    """Learn from pictures in folders named like their labels."""
    if not c > 0:
        raise ConfigError(f"--c: a number above 0, not {c}")
    from guidegen.zero_shot.probe import save_probe, train_probe

    found = train_probe(
        folder, kind=kind, shots=shots, c=c, perceptor=perceptor, device=device, seed=seed
    )
    print(save_probe(found, out))


@probe.command
def apply(
    file: Annotated[Path, Parameter(name="PROBE", help="What `probe train` wrote.")],
    /,
    *pictures: Annotated[Path, Parameter(name="IMAGE", help="Pictures, and folders of them.")],
    top: Annotated[
        int, Parameter(name=["--top", "-k"], help="Labels to show of each picture [default: 3].")
    ] = 3,
    accuracy: Annotated[
        bool,
        Parameter(help="Pictures lie in folders named like their labels: how often it is right."),
    ] = False,
    json_: tables.Json = False,
    device: tables.Device = "auto",
) -> None:
    """Say which of a probe's labels each picture shows."""
    if not pictures:
        raise ConfigError("name a picture: guidegen probe apply probe.safetensors picture.png")
    if top < 1:
        raise ConfigError(f"--top: show at least 1 label, not {top}")
    from guidegen.zero_shot.classify import accuracy as measure
    from guidegen.zero_shot.probe import apply_probe, load_probe

    known = load_probe(file)
    found = list(apply_probe(known, pictures, top=max(top, 5), device=device))
    for each in found:
        if each.error:
            tables.note(f"guidegen: {each.error}")
    good = [each for each in found if not each.error]
    if accuracy:
        figures = measure(good)
        print(f"{figures.pictures} pictures: top-1 {figures.top1:.1%}, top-5 {figures.top5:.1%}")
    elif json_:
        for each in good:
            pairs = list(zip(each.labels, each.probabilities, strict=True))[:top]
            tables.print_json({"path": each.path, "labels": dict(pairs)})
    else:
        tables.print_table(
            ["picture", "label", ""],
            [[str(each.path), each.label, f"{each.probabilities[0]:.1%}"] for each in good],
        )
    if not good:
        raise InputImageError("none of the pictures can be read")

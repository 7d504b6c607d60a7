"""`guidegen perceptors`: what can guide."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.presets import PRESETS
from guidegen.weights.catalog import CLIP, Checkpoint, read_registry

# What ships with guidegen.
_EMBEDDED: tuple[dict[str, Any], ...] = (
    {
        "name": "embedded",
        "state": "here",
        "size": "29 MB",
        "side": 128,
        "parameters": None,
        "licence": "guidegen's own",
        "good_for": "drawings of things; collages, search and sorting",
    },
    {
        "name": "embedded/robust",
        "state": "here",
        "size": "8 MB",
        "side": 64,
        "parameters": None,
        "licence": "guidegen's own",
        "good_for": "painting: an image tower whose gradients draw; the text tower of embedded",
    },
)


def perceptors(
    *,
    all_: Annotated[
        bool, Parameter(name="--all", help="Every CLIP that open_clip knows; takes some seconds.")
    ] = False,
    json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False,
) -> None:
    """List the CLIPs of --perceptor, what they are good for, and which are here."""
    known = [one for one in read_registry().checkpoints.values() if one.family == CLIP]
    rows = [*_EMBEDDED, *map(_row, known)]
    rows = [{**row, "presets": _presets_with(row["name"])} for row in rows]
    if all_:
        rows += _others({row["name"] for row in rows})
    if json_:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        _print(row)
    print("\nEnsembles of presets:")
    for preset, parts in ensembles().items():
        print(f"  {preset}: {' + '.join(parts)}")
    more = "" if all_ else ", and whatever --all shows"
    print(f"\nAlso local-dir:FOLDER and hf-hub:ORG/NAME{more}; @WEIGHT behind it.")


def ensembles() -> dict[str, tuple[str, ...]]:
    """Preset -> its CLIPs, of the presets that have several."""
    return {
        name: tuple(settings["perceptor"])
        for name, settings in PRESETS.items()
        if len(settings.get("perceptor", ())) > 1
    }


def _presets_with(name: str) -> list[str]:
    """Presets that are guided by a CLIP."""
    return [preset for preset, settings in PRESETS.items() if name in settings["perceptor"]]


def _row(one: Checkpoint) -> dict[str, Any]:
    from guidegen.weights.download import in_hub_cache

    here = any(in_hub_cache(source) for source in one.sources)
    return {
        "name": one.name,
        "state": "here" if here else "not here",
        "size": one.size_text,
        "side": one.side,
        "parameters": one.parameters,
        "licence": one.licence,
        "good_for": one.good_for,
    }


def _others(known: Iterable[str]) -> list[dict[str, Any]]:
    """What else open_clip has, of which only the name is known."""
    import open_clip

    zoo = (f"{name}/{tag}" for name, tag in open_clip.list_pretrained())
    blank = {"state": "", "size": "", "side": None, "parameters": None, "licence": ""}
    return [
        {"name": name, **blank, "good_for": "", "presets": []} for name in zoo if name not in known
    ]


def _print(row: Mapping[str, Any]) -> None:
    size = "" if row["size"] == "?" else row["size"]
    side = f"{row['side']} px" if row["side"] else ""
    numbers = f"{row['parameters'] / 1e6:.0f} M" if row["parameters"] else ""
    print(f"{row['name']:<48} {row['state']:<9} {side:>6} {numbers:>6} {size:>8}".rstrip())
    if row["good_for"]:
        print(f"    {row['good_for']} · {row['licence']}")

"""`guidegen perceptors`: what can guide."""

import json
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen.weights.catalog import CLIP, read_registry


def perceptors(
    *,
    all_: Annotated[
        bool, Parameter(name="--all", help="Every CLIP that open_clip knows; takes some seconds.")
    ] = False,
    json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False,
) -> None:
    """List the CLIPs of --perceptor, their sizes, and which are here."""
    rows = [
        {
            "name": "embedded",
            "state": "here",
            "size": "29 MB",
            "good_for": "drawings; ships with guidegen",
        }
    ]
    rows += [_row(one) for one in read_registry().checkpoints.values() if one.family == CLIP]
    if all_:
        known = {row["name"] for row in rows}
        import open_clip

        zoo = (f"{name}/{tag}" for name, tag in open_clip.list_pretrained())
        rows += [
            {"name": name, "state": "", "size": "", "good_for": ""}
            for name in zoo
            if name not in known
        ]
    if json_:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        print(f"{row['name']:<32} {row['state']:<9} {row['size']:>9}  {row['good_for']}".rstrip())
    if not all_:
        print(
            "\nand local-dir:FOLDER, hf-hub:ORG/NAME, and whatever --all shows; @WEIGHT behind it"
        )


def _row(one: Any) -> dict[str, str]:
    from guidegen.weights.download import in_hub_cache

    here = any(in_hub_cache(source) for source in one.sources)
    return {
        "name": one.name,
        "state": "here" if here else "not here",
        "size": one.size_text,
        "good_for": one.good_for,
    }

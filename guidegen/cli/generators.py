"""`guidegen generators`: what can draw."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from guidegen import registry
from guidegen.backend import GeneratorInfo
from guidegen.cli.options import meaning, options_as_json


def generators(
    *names: Annotated[
        str, Parameter(name="NAME", help="Only these, like vqgan or vqgan/coco; none means all.")
    ],
    json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False,
) -> None:
    """List the generators: what they draw, their sizes, defaults, options and licence."""
    cards = [card for card in _cards() if not names or _named(card.name, names)]
    for name in names:
        if not any(_named(card.name, (name,)) for card in cards):
            registry.find(name)  # which says what there is
    if json_:
        print(json.dumps([_row(card) for card in cards], ensure_ascii=False, indent=2))
    else:
        for number, card in enumerate(cards):
            if number:
                print()
            _print(card, whole=bool(names) or not _same_options(card, cards[:number]))
    for name, why in registry.broken().items():
        print(f"guidegen: the generator {name!r} can't be used: {why}", file=sys.stderr)


def _cards() -> list[GeneratorInfo]:
    return [
        backend.info(variant)
        for backend in registry.backends().values()
        for variant in backend.names()
    ]


def _named(name: str, wanted: Sequence[str]) -> bool:
    return name in wanted or name.partition("/")[0] in wanted


def _same_options(card: GeneratorInfo, before: Sequence[GeneratorInfo]) -> bool:
    """Whether another model of the same backend has told these options already."""
    base = card.name.partition("/")[0]
    return any(
        other.name.partition("/")[0] == base and other.options.keys() == card.options.keys()
        for other in before
    )


def _print(card: GeneratorInfo, *, whole: bool) -> None:
    print(f"{card.name}: {card.summary}")
    low, high = card.sizes
    sizes = f"{low} to {high} px" if low != high else f"{low} px"
    if card.multiple > 1:
        sizes += f", multiples of {card.multiple}"
    of = card.defaults
    lines = {
        "sizes": f"{sizes}; {card.default_size} where none is asked for",
        "loop": f"{of.steps} steps, lr {of.lr:g}, {of.cutouts} cutouts, {of.starts} starts",
        "starts": "from pictures too (--init-image), and moves (--zoom)" if card.encodes else "",
        "licence": card.licence,
        "source": card.source,
    }
    for name, value in lines.items():
        if value:
            print(f"  {name:<9} {value}")
    for name, option in card.options.items():
        default = f"{name}={option.default}"
        print(f"  --option {default:<22} {meaning(option)}" if whole else f"  --option {default}")


def _row(card: GeneratorInfo) -> dict[str, Any]:
    """A card as JSON: numbers as numbers, None for no bound."""
    return {
        "name": card.name,
        "summary": card.summary,
        "size": {
            "smallest": card.sizes[0],
            "largest": card.sizes[1],
            "multiple": card.multiple,
            "default": card.default_size,
        },
        "defaults": asdict(card.defaults),
        "encodes": card.encodes,
        "latents": dict(card.latents),
        "options": options_as_json(card.options),
        "licence": card.licence,
        "source": card.source,
    }

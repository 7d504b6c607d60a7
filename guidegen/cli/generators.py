"""`guidegen generators`: what can draw."""

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from guidegen import registry
from guidegen.backend import GeneratorInfo


def generators(
    *, json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False
) -> None:
    """List the generators: what they draw, at which sizes, under which licence."""
    cards = [
        backend.info(variant)
        for backend in registry.backends().values()
        for variant in backend.names()
    ]
    if json_:
        print(json.dumps([_row(card) for card in cards], ensure_ascii=False, indent=2))
    else:
        for number, card in enumerate(cards):
            if number:
                print()
            print(f"{card.name}: {card.summary}")
            for name, value in _row(card).items():
                if value and name not in ("name", "summary"):
                    print(f"  {name:<9} {value}")
    for name, why in registry.broken().items():
        print(f"guidegen: the generator {name!r} can't be used: {why}", file=sys.stderr)


def _row(card: GeneratorInfo) -> dict[str, str]:
    low, high = card.sizes
    sizes = f"{low} to {high} px" if low != high else f"{low} px"
    if card.multiple > 1:
        sizes += f", multiples of {card.multiple}"
    defaults = card.defaults
    return {
        "name": card.name,
        "summary": card.summary,
        "sizes": f"{sizes}; {card.default_size} where none is asked for",
        "loop": f"{defaults.steps} steps, lr {defaults.lr:g}, {defaults.cutouts} cutouts, "
        f"{defaults.starts} starts",
        "options": ", ".join(f"{name}={option.default}" for name, option in card.options.items()),
        "licence": card.licence,
        "source": card.source,
    }

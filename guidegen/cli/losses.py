"""`guidegen losses`: what can be minimised."""

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from guidegen import registry
from guidegen.backend import LossInfo
from guidegen.cli.options import meaning, options_as_json


def losses(
    *names: Annotated[str, Parameter(name="NAME", help="Only these; none means all.")],
    json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False,
) -> None:
    """List the terms of --loss, what each wants of a picture, and their options."""
    found = registry.losses()
    cards = [registry.find_loss(name) for name in names] if names else list(found.values())
    if json_:
        rows = [
            {
                "name": card.name,
                "summary": card.summary,
                "options": options_as_json(card.options),
                "source": card.source,
            }
            for card in cards
        ]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        for card in cards:
            _print(card)
    for name, why in registry.broken_losses().items():
        print(f"guidegen: the loss {name!r} can't be used: {why}", file=sys.stderr)


def _print(card: LossInfo) -> None:
    print(f"{card.name}: {card.summary}")
    if card.source:
        print(f"  source    {card.source}")
    for name, option in card.options.items():
        shown = f"{card.name}.{name}={option.default}"
        print(f"  --loss-option {shown:<28} {meaning(option)}")

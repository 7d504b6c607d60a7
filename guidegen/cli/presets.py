"""`guidegen presets`: settings under a name."""

import json
from typing import Annotated

from cyclopts import Parameter

from guidegen.presets import PRESETS


def presets(
    *, json_: Annotated[bool, Parameter(name="--json", help="Print JSON.")] = False
) -> None:
    """List the presets of --preset, and the settings that each stands for."""
    if json_:
        print(json.dumps({name: dict(of) for name, of in PRESETS.items()}, indent=2))
        return
    for number, (name, settings) in enumerate(PRESETS.items()):
        if number:
            print()
        print(f"{name}:")
        for key, value in settings.items():
            texts = value if isinstance(value, tuple) else (value,)
            for text in texts:
                print(f"  --{key.replace('_', '-'):<16} {text}")

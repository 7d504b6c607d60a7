"""Training state on disk: written whole or not at all, read back without running code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from guidegen.errors import ConfigError


def save(path: Path, parts: Mapping[str, Any], step: int) -> None:
    """Write the `state_dict` of every part, and the step, then rename into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        torch.save({"step": step, **{k: v.state_dict() for k, v in parts.items()}}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def resume(path: Path, parts: Mapping[str, Any]) -> int:
    """Load every part from `path`; the step to go on from, 0 where there is no such file.

    Raises:
        ConfigError: a part is not in it.
    """
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if missing := sorted(parts.keys() - state.keys()):
        raise ConfigError(
            f"{path}: it has no {', '.join(missing)}, so it was saved by a training with other "
            "options; go on with those, or name another --state"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])

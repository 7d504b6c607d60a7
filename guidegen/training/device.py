"""Which device training runs on."""

from __future__ import annotations

import torch


def choose(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; anything else is torch's own name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)

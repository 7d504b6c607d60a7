"""Which device training runs on, in which arithmetic, and how it gets its numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from guidegen.precision import autocast, has_bf16


def choose(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; anything else is torch's own name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def bf16_where_quick(device: torch.device) -> torch.autocast:
    """Autocast to bf16; off where the device only emulates it, which is slower than float32."""
    return autocast(device, torch.bfloat16 if has_bf16(device) else torch.float32)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; a copy from the CPU to CUDA waits for nothing that runs there."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)

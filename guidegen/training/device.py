"""Which device training runs on, in which arithmetic, and how it gets its numbers."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from guidegen.precision import autocast, has_bf16

log = logging.getLogger(__name__)


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


def compiled(*modules: nn.Module, device: torch.device) -> tuple[Any, ...]:
    """Modules compiled for pictures of one size; as they are where there is no compiler."""
    probe = nn.Sequential(nn.GroupNorm(1, 4), nn.Conv2d(4, 4, 3)).to(device)
    try:
        torch.compile(probe, dynamic=False)(torch.ones(1, 4, 8, 8, device=device)).sum().backward()
    except Exception as error:  # of the compiler, of its compiler, of the driver...
        log.warning("nothing is compiled: %s", " ".join(str(error).split())[:200])
        return modules
    return tuple(torch.compile(module, dynamic=False) for module in modules)

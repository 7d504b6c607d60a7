"""The arithmetic that a network computes in."""

import torch

from guidegen.errors import ConfigError

_NAMES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def perceptor_precision(
    precision: str, device: torch.device | str, *, half_pays: bool = False
) -> torch.dtype:
    """The arithmetic of a CLIP's image tower.

    "auto" is bf16 on CUDA (fp16 where that is missing), fp16 on MPS, and bf16 on a CPU with bf16
    instructions, where the tower gains by it.

    Args:
        precision: "auto", "fp32", "bf16" or "fp16".
        device: where the tower computes.
        half_pays: the tower is faster in bf16 on a CPU, see `guidegen.clip.fused`.

    Raises:
        ConfigError: an unknown name, or fp16 on a CPU.
    """
    kind = torch.device(device).type
    if precision != "auto":
        return _named(precision, kind)
    if kind == "mps" or (kind == "cuda" and not has_bf16(device)):
        return torch.float16
    return torch.bfloat16 if (kind == "cuda" or half_pays) and has_bf16(device) else torch.float32


def generator_precision(precision: str, device: torch.device | str) -> torch.dtype:
    """The arithmetic of a generator's network.

    "auto" is bf16 where the hardware has it, fp32 elsewhere; measured on a CPU it is twice as fast.
    fp16 is never chosen: VQGAN's decoders overflow in it (black pictures).

    Args:
        precision: "auto", "fp32", "bf16" or "fp16".
        device: where it computes.

    Raises:
        ConfigError: an unknown name, or fp16 on a CPU.
    """
    if precision != "auto":
        return _named(precision, torch.device(device).type)
    return torch.bfloat16 if has_bf16(device) else torch.float32


def has_bf16(device: torch.device | str) -> bool:
    """Whether a device computes in bf16 by instructions of its own."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch.ops.mkldnn._is_mkldnn_bf16_supported() is also true where bf16 is only emulated
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return kind == "cpu" and any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def autocast(device: torch.device | str, dtype: torch.dtype) -> torch.autocast:
    """Compute in `dtype` where that is safe; float32 switches it off."""
    half = dtype != torch.float32
    return torch.autocast(torch.device(device).type, dtype if half else None, enabled=half)


def _named(precision: str, kind: str) -> torch.dtype:
    if precision not in _NAMES:
        raise ConfigError(f"{precision!r} is no precision; use auto, {', '.join(_NAMES)}")
    if precision == "fp16" and kind == "cpu":
        raise ConfigError("fp16 is no use on a CPU; use bf16 (or auto)")
    return _NAMES[precision]

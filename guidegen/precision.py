"""The arithmetic that a network computes in: named by the user, or what was fastest here."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from guidegen.errors import ConfigError
from guidegen.utils.measured import Clock, fastest, remember, remembered
from guidegen.utils.threads import cpu_flags, cpu_model

log = logging.getLogger(__name__)

_NAMES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LAST = " channels-last"


@dataclass(frozen=True)
class Arithmetic:
    """What a network computes in.

    Attributes:
        dtype: of its matrix products and convolutions.
        channels_last: the layout of its images; networks with a layout of their own ignore it.
        milliseconds: of every choice that was timed, by its name; empty where there was none.
    """

    dtype: torch.dtype
    channels_last: bool = False
    milliseconds: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def precision(self) -> str:
        """The type as `--precision` names it."""
        return next(name for name, dtype in _NAMES.items() if dtype == self.dtype)

    def __str__(self) -> str:
        return self.precision + (_LAST if self.channels_last else "")

    @classmethod
    def read(cls, text: str, device: torch.device | str) -> "Arithmetic":
        """What `str` wrote, or a precision that the user named.

        Raises:
            ConfigError: an unknown name, or fp16 on a CPU.
        """
        return cls(named(text.removesuffix(_LAST), device), text.endswith(_LAST))


# Called with an arithmetic, returns one run of the work that is timed.
Workload = Callable[[Arithmetic], Callable[[], object]]


def choose(
    module: str,
    shapes: str,
    choices: Sequence[Arithmetic],
    workload: Workload,
    *,
    device: torch.device | str,
    clock: Clock | None = None,
) -> Arithmetic:
    """The fastest of several arithmetics here, measured once and remembered in the cache folder.

    The same machine, number of threads, version of torch and shapes choose the same again, so that
    the same command gives the same picture.

    Args:
        module: what computes, in words.
        shapes: of its weights and inputs, as far as speed depends on them.
        choices: the first is taken where none is clearly faster.
        workload: prepares a short piece of the real work.
        device: where it computes.
        clock: seconds; None is the wall clock, after the device has finished.
    """
    if len(choices) == 1:
        log.info("%s computes in %s, the only choice on this device", module, choices[0])
        return choices[0]
    by_name = {str(choice): choice for choice in choices}
    key = {**_machine(device), "module": module, "shapes": shapes, "choices": list(by_name)}
    times = remembered(key, by_name)
    if times is None:
        runs = {name: workload(choice) for name, choice in by_name.items()}
        times = remember(key, fastest(runs, clock or _clock(device)))
        del runs
    name = _winner(times)
    told = ", ".join(f"{other} {taken:.1f} ms" for other, taken in times.items())
    log.info("%s computes in %s (%s)", module, name, told)
    best = by_name[name]
    return Arithmetic(best.dtype, best.channels_last, times)


# A later choice must be faster by more than noise.
_CLEARLY = 0.97


def _winner(times: Mapping[str, float]) -> str:
    first = next(iter(times))
    best = min(times, key=lambda name: times[name])
    return best if times[best] < _CLEARLY * times[first] else first


def _machine(device: torch.device | str) -> dict[str, object]:
    """All that speed depends on, but the work."""
    device = torch.device(device)
    if device.type == "cuda":
        chip: list[object] = [torch.cuda.get_device_name(device)]
    else:
        chip = [cpu_model(), " ".join(sorted(cpu_flags())), torch.get_num_threads()]
        # plays an older processor, see the documentation of ATen
        chip.append(torch.backends.cpu.get_cpu_capability())
    return {"device": device.type, "chip": chip, "torch": torch.__version__}


def _clock(device: torch.device | str) -> Clock:
    from time import perf_counter

    if torch.device(device).type != "cuda":
        return perf_counter

    def clock() -> float:
        torch.cuda.synchronize(device)
        return perf_counter()

    return clock


def perceptor_dtypes(device: torch.device | str) -> tuple[torch.dtype, ...]:
    """What an image tower can gain by on a device; the first wins a draw.

    A CPU without bf16 instructions emulates it, so there is nothing to measure.
    """
    kind = torch.device(device).type
    if kind == "cpu":
        return (torch.float32, torch.bfloat16) if has_bf16(device) else (torch.float32,)
    half = torch.bfloat16 if has_bf16(device) else torch.float16
    return half, torch.float32


def generator_dtypes(device: torch.device | str) -> tuple[torch.dtype, ...]:
    """What a generator can gain by on a device; the first wins a draw.

    Never fp16: VQGAN's decoders overflow in it (black pictures).
    """
    if not has_bf16(device):
        return (torch.float32,)
    both = torch.float32, torch.bfloat16
    return both if torch.device(device).type == "cpu" else both[::-1]


def generator_arithmetic(
    precision: str,
    device: torch.device | str,
    *,
    module: str,
    shapes: str,
    workload: Workload,
) -> Arithmetic:
    """The arithmetic of a generator's network.

    Args:
        precision: "auto" measures, see `choose`; or "fp32", "bf16" or "fp16".
        device: where it computes.
        module: as `choose` takes it.
        shapes: as `choose` takes it.
        workload: as `choose` takes it.

    Raises:
        ConfigError: an unknown name, or fp16 on a CPU.
    """
    if precision != "auto":
        return Arithmetic.read(precision, device)
    choices = [Arithmetic(dtype) for dtype in generator_dtypes(device)]
    return choose(module, shapes, choices, workload, device=device)


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


def named(precision: str, device: torch.device | str) -> torch.dtype:
    """The type of a precision that the user named.

    Raises:
        ConfigError: an unknown name, or fp16 on a CPU.
    """
    if precision not in _NAMES:
        raise ConfigError(f"{precision!r} is no precision; use auto, {', '.join(_NAMES)}")
    if precision == "fp16" and torch.device(device).type == "cpu":
        raise ConfigError("fp16 is no use on a CPU; use bf16 (or auto)")
    return _NAMES[precision]

"""State files of a run, `state-<step>.safetensors`: written whole, checked when read.

A state holds one candidate's rows of a `LoopState`. Two are kept, so that a damaged one falls back
to the older. Each carries a digest of its own content: safetensors notices a short file, but not a
flipped bit.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidegen.errors import WeightsError
from guidegen.interfaces import AverageState, BestState, JudgeState, LoopState, OptimizerState
from guidegen.ops import joined

log = logging.getLogger(__name__)

_KEPT = 2
_NAME = re.compile(r"state-(\d+)\.safetensors")
_FORMAT = "1"


def write_state(
    folder: Path, write: Callable[[str, bytes], object], state: LoopState, row: int, *, device: str
) -> None:
    """Write one candidate's state, then remove all but the two newest.

    Args:
        folder: the run directory.
        write: writes a whole file of the run under a name, or nothing.
        state: of the whole batch.
        row: which candidate.
        device: where it was computed; other devices end in other low bits.
    """
    rows, shared = _flatten(state)
    tensors = {f"rows/{name}": value[row].cpu() for name, value in rows.items()}
    tensors |= {f"shared/{name}": value.cpu() for name, value in shared.items()}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    about = {
        "format": _FORMAT,
        "index": str(state.index),
        "torch": torch.__version__,
        "device": device,
    }
    about["sha256"] = _digest(tensors, about)
    write(f"state-{state.index}.safetensors", save(tensors, about))
    for _, path in _files(folder)[_KEPT:]:
        path.unlink(missing_ok=True)


def newest_state(folder: Path, *, device: str) -> LoopState | None:
    """The newest undamaged state of a run, as a batch of one; None where there is none.

    Args:
        folder: the run directory.
        device: where it will go on; the log says if that, or PyTorch, is another than before.
    """
    for index, path in _files(folder):
        try:
            state, about = _read(path)
        except WeightsError as error:
            log.warning("%s; going on from an older state", error)
            continue
        if state.index != index:
            log.warning("%s was renamed; going on from an older state", path)
            continue
        now = {"torch": torch.__version__, "device": device}
        for name, value in now.items():
            if about.get(name) != value:
                log.warning(
                    "the run in %s began with %s %s and goes on with %s: its last bits may differ "
                    "from an undisturbed run's", folder, name, about.get(name), value
                )  # fmt: skip
        return state
    return None


def join_states(states: Sequence[LoopState], *, device: str) -> LoopState:
    """The states of several candidates at the same step as one batch.

    Args:
        states: one candidate each, of runs with the same settings.
        device: where the tensors shall lie; what the optimiser shares stays on the CPU.
    """
    each = [_flatten(state)[0] for state in states]
    rows = {name: value.to(device) for name, value in joined(each).items()}
    return _unflatten(states[0].index, rows, _flatten(states[0])[1])


def remove_states(folder: Path) -> None:
    """Remove all states of a run."""
    for _, path in _files(folder):
        path.unlink(missing_ok=True)


def _files(folder: Path) -> list[tuple[int, Path]]:
    """Step and path of each state, newest first."""
    return sorted(_found(folder), reverse=True)


def _found(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.glob("state-*.safetensors"):
        match = _NAME.fullmatch(path.name)
        if match:
            yield int(match[1]), path


def _read(path: Path) -> tuple[LoopState, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None
    sha256 = about.pop("sha256", "")
    if about.get("format") != _FORMAT:
        raise WeightsError(f"{path} is of another version of guidegen")
    if sha256 != _digest(tensors, about):
        raise WeightsError(f"{path} is damaged: its content does not fit its SHA-256")
    rows = {name: value[None] for name, value in _below("rows", tensors).items()}
    return _unflatten(int(about["index"]), rows, _below("shared", tensors)), about


def _flatten(state: LoopState) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A state's tensors by their names in the file: those with a row a candidate, and the others.

    rows: latents/LATENT, rng, moments/LATENT/NAME, losses/TERM/NAME, ema/LATENT and ema-weight,
    best/LATENT and best-loss, judged/LATENT, judged-score and judged-worse. Others: LATENT/NAME of
    the optimiser's counters.
    """
    rows = {"rng": state.rngs, **_under("latents", state.latents)}
    shared: dict[str, Tensor] = {}
    for latent, moments in state.optimizer.moments.items():
        rows |= _under(f"moments/{latent}", moments)
    for latent, counters in state.optimizer.counters.items():
        shared |= _under(latent, counters)
    for term, kept in state.losses.items():
        rows |= _under(f"losses/{term}", kept)
    if state.average is not None:
        rows |= {"ema-weight": state.average.weight, **_under("ema", state.average.sums)}
    if state.best is not None:
        rows |= {"best-loss": state.best.loss, **_under("best", state.best.latents)}
    if (judged := state.judged) is not None:
        rows |= {"judged-score": judged.score, "judged-worse": judged.worse}
        rows |= _under("judged", judged.latents)
    return rows, shared


def _unflatten(index: int, rows: dict[str, Tensor], shared: dict[str, Tensor]) -> LoopState:
    """The state that `_flatten` took apart."""
    latents = _below("latents", rows)
    losses = {term: _below(f"losses/{term}", rows) for term in _heads(_below("losses", rows))}
    if "anchor" in _heads(rows):  # as guidegen wrote it while nearness to the start was no term
        losses["init"] = _below("anchor", rows)
    average = best = judged = None
    if "ema-weight" in rows:
        average = AverageState(_below("ema", rows), rows["ema-weight"])
    if "best-loss" in rows:
        best = BestState(_below("best", rows), rows["best-loss"])
    if "judged-score" in rows:
        judged = JudgeState(_below("judged", rows), rows["judged-score"], rows["judged-worse"])
    optimizer = OptimizerState(
        moments={latent: _below(f"moments/{latent}", rows) for latent in latents},
        counters={latent: _below(latent, shared) for latent in latents},
    )
    return LoopState(index, latents, rows["rng"], optimizer, losses, average, best, judged)


def _under(head: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{head}/{name}": value for name, value in tensors.items()}


def _below(head: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{head}/"
    return {n.removeprefix(start): v for n, v in tensors.items() if n.startswith(start)}


def _heads(tensors: Mapping[str, Tensor]) -> set[str]:
    return {name.partition("/")[0] for name in tensors}


def _digest(tensors: dict[str, Tensor], about: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

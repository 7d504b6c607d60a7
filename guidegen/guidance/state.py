"""The optimiser's state: copied, put back, forgotten."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from guidegen.interfaces import Latents, LoopState, OptimizerState
from guidegen.ops import floating


def copy_optimizer(latents: Latents, optimizer: torch.optim.Optimizer) -> OptimizerState:
    """Copy what the optimiser remembers of its latents.

    Args:
        latents: the optimiser's own tensors.
        optimizer: it may have made updates already or not.
    """
    moments: dict[str, Latents] = {}
    counters: dict[str, dict[str, Tensor]] = {}
    for name, value in floating(latents).items():
        remembered = _remembered(optimizer, value)
        copies = {key: tensor.detach().clone() for key, tensor in remembered.items()}
        moments[name] = {k: v for k, v in copies.items() if _is_moment(v, value)}
        counters[name] = {k: v for k, v in copies.items() if not _is_moment(v, value)}
    return OptimizerState(moments, counters)


@torch.no_grad()
def restore(
    state: LoopState,
    latents: Latents,
    optimizer: torch.optim.Optimizer,
    rngs: Sequence[torch.Generator],
) -> None:
    """Put a state back, in place.

    Args:
        state: of as many candidates.
        latents: the optimiser's own tensors, of the same names and shapes.
        optimizer: a fresh one of the same kind.
        rngs: each candidate's generator.
    """
    for name, value in latents.items():
        value.data.copy_(state.latents[name])
    for name, value in floating(latents).items():
        for key, moment in state.optimizer.moments.get(name, {}).items():
            optimizer.state[value][key] = moment.to(value.device, copy=True)
        for key, counter in state.optimizer.counters.get(name, {}).items():
            # such counters lie on the CPU, whatever the device of the latent
            optimizer.state[value][key] = counter.clone()
    for rng, saved in zip(rngs, state.rngs, strict=True):
        # a clone: given a row of a larger tensor, PyTorch 2.15 reads beyond it or crashes
        rng.set_state(saved.cpu().clone())


@torch.no_grad()
def forget_moments(
    latents: Latents, optimizer: torch.optim.Optimizer, candidates: Sequence[int]
) -> None:
    """Set the moments of some candidates to zero, as before the first update.

    Those of a state that was left would push the new one about. The counters stay: they are
    everybody's.

    Args:
        latents: the optimiser's own tensors.
        optimizer: it may have made updates already or not.
        candidates: rows of the latents.
    """
    rows = list(candidates)
    for value in floating(latents).values():
        for tensor in _remembered(optimizer, value).values():
            if _is_moment(tensor, value):
                tensor[rows] = 0


def _remembered(optimizer: torch.optim.Optimizer, value: Tensor) -> dict[str, Tensor]:
    return cast(dict[str, Tensor], optimizer.state.get(value, {}))


def _is_moment(tensor: Tensor, value: Tensor) -> bool:
    """Whether it has a number for each of the latent's; else all candidates share it."""
    return tensor.shape == value.shape

"""Capture a loop's state, and put it back: latents, optimiser moments, random numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from guidegen.interfaces import Latents, LoopState
from guidegen.ops import floating


def capture(
    index: int, latents: Latents, optimizer: torch.optim.Optimizer, rngs: Tensor
) -> LoopState:
    """Copy the state before step `index`.

    Args:
        index: the step whose update has not been made yet.
        latents: the optimiser's own tensors.
        optimizer: it may have moments already or not.
        rngs: [B, n] bytes of each candidate's generator before it drew this step's views.
    """
    rows = {f"latents/{name}": value.detach().clone() for name, value in latents.items()}
    rows["rng"] = rngs
    shared = {}
    for name, value in floating(latents).items():
        for key, moment in optimizer.state.get(value, {}).items():
            if moment.shape == value.shape:
                rows[f"moments/{name}/{key}"] = moment.detach().clone()
            else:
                shared[f"{name}/{key}"] = moment.detach().clone()
    return LoopState(index, rows, shared)


@torch.no_grad()
def restore(
    state: LoopState,
    latents: Latents,
    optimizer: torch.optim.Optimizer,
    rngs: Sequence[torch.Generator],
) -> None:
    """Put a captured state back, in place.

    Args:
        state: as `capture` returned it, for as many candidates.
        latents: the optimiser's own tensors, of the same names and shapes.
        optimizer: a fresh one of the same kind.
        rngs: each candidate's generator.
    """
    for name, value in latents.items():
        value.data.copy_(state.rows[f"latents/{name}"])
    for name, value in floating(latents).items():
        for full, moment in state.rows.items():
            if full.startswith(f"moments/{name}/"):
                key = full.removeprefix(f"moments/{name}/")
                optimizer.state[value][key] = moment.to(value.device, copy=True)
        for full, moment in state.shared.items():
            if full.startswith(f"{name}/"):
                # such counters lie on the CPU, whatever the device of the latent
                optimizer.state[value][full.removeprefix(f"{name}/")] = moment.clone()
    for rng, saved in zip(rngs, state.rows["rng"], strict=True):
        # a clone: given a row of a larger tensor, PyTorch 2.15 reads beyond it or crashes
        rng.set_state(saved.cpu().clone())

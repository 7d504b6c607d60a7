"""The losses of image training.

Sources: Radford et al. 2021, CLIP (symmetric contrastive loss, learned temperature); Zhai et al.
2022, LiT (a frozen text tower); Szegedy et al. 2016 (soft labels).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive(image: Tensor, text: Tensor, concepts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric contrastive loss; pictures of the same thing are not each other's negatives.

    Args:
        image: unit-norm features [n, d].
        text: unit-norm features [n, d].
        concepts: int [n, 2] as in `batches.Batch`.
        scale: inverse temperature.
    """
    a, b = concepts[:, :1], concepts[:, 1:]
    same = (a == a.T) | (a == b.T) | (b == a.T) | ((b == b.T) & (b >= 0))
    same.fill_diagonal_(False)
    logits = (scale * image @ text.T).masked_fill(same, float("-inf"))
    target = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def contradiction(image: Tensor, right: Tensor, wrong: Tensor, scale: Tensor) -> Tensor:
    """How far the right text is from beating the one that is wrong in one word.

    Args:
        image: unit-norm features [n, d].
        right: unit-norm features [n, d] of the captions.
        wrong: unit-norm features [n, d] of the contradicting captions.
        scale: inverse temperature.
    """
    return F.softplus(scale * ((wrong - right) * image).sum(dim=1)).mean()


def soft_bank_targets(bank: Tensor, *, share: float = 0.3, temperature: float = 0.1) -> Tensor:
    """Targets of the softmax over all concepts, in which a near-synonym is not a full mistake.

    Most of the weight is on the concept itself, a `share` on what is close to it in meaning.

    Args:
        bank: unit-norm text features [m, d].
        share: of the weight that goes to the neighbours, in [0, 1].
        temperature: of the softmax that spreads it.

    Returns:
        Rows that sum to 1: float16 [m, m].
    """
    out = torch.empty(len(bank), len(bank), dtype=torch.float16, device=bank.device)
    for start in range(0, len(bank), 1024):
        near = F.softmax(bank[start : start + 1024] @ bank.T / temperature, dim=1) * share
        rows = torch.arange(len(near), device=bank.device)
        near[rows, rows + start] += 1 - share
        out[start : start + 1024] = near.half()
    return out


def bank_loss(
    image: Tensor, bank: Tensor, targets: Tensor, concepts: Tensor, scale: Tensor
) -> Tensor:
    """Cross-entropy against the texts of all concepts at once; two things share the target.

    Args:
        image: unit-norm features [n, d].
        bank: unit-norm text features [m, d].
        targets: [m, m] from `soft_bank_targets`.
        concepts: int [n, 2] as in `batches.Batch`.
        scale: inverse temperature.
    """
    first = targets[concepts[:, 0]].float()
    second = targets[concepts[:, 1].clamp(min=0)].float()
    half = (concepts[:, 1:] >= 0).float() / 2
    return F.cross_entropy(scale * image @ bank.T, first * (1 - half) + second * half)

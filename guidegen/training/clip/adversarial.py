"""How well pictures find their captions under attack: each changed within an L2 ball."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.training.clip import evaluate
from guidegen.training.clip.attack import l2_attack
from guidegen.training.data import scenes

EPS = 1.0
STEPS = 10


def retrieval(
    model: Any,
    tokenizer: Any,
    evaluator: evaluate.Evaluator,
    *,
    split: str = "val",
    eps: float = EPS,
    steps: int = STEPS,
    draws: int = evaluate.DRAWS,
    batch: int = 64,
) -> evaluate.Retrieval:
    """As `evaluate.retrieval`, on pictures attacked against the captions of their own draw.

    Args:
        model: an open_clip model in evaluation mode.
        tokenizer: its tokenizer.
        evaluator: holds the pictures.
        split: which of them.
        eps: L2 norm of the change over a picture in [0, 1], at the model's own size.
        steps: gradient steps of the attack, each 2.5 / steps of eps.
        draws: how many of the fixed draws.
        batch: pictures at a time.
    """
    records, cutouts = evaluator.parts[split]
    device = next(model.parameters()).device
    encode = image_encoder(model)
    found = []
    for seed in range(draws):
        positions, captions = evaluate.draw(records, evaluator.fill, seed)
        # cloned: what inference mode made can not be kept for a backward pass
        bank = evaluate.encode_texts(model, tokenizer, captions).clone()
        ranks = []
        for start in range(0, len(positions), batch):
            part = positions[start : start + batch]
            pictures = scenes.on_white(
                torch.from_numpy(cutouts[part]).to(device), evaluate.side_of(model)
            )
            target = torch.arange(start, start + len(part), device=device)
            hard = l2_attack(
                pictures,
                _misses(encode, bank, target),
                torch.full((len(part),), eps),
                steps=steps,
                rng=torch.Generator().manual_seed(seed * 1000 + start),
            )
            with torch.no_grad():
                scores = encode(hard) @ bank.T
            ranks.append((scores > scores.gather(1, target[:, None])).sum(dim=1))
        found.append((torch.cat(ranks), len(captions)))
    return evaluate.mean_retrieval(f"{split} under {steps} L2 steps of eps {eps:g}", found)


def _misses(encode: Any, bank: Tensor, target: Tensor) -> Callable[[Tensor], Tensor]:
    """How far pictures are from their own captions: cross-entropy [n]."""
    return lambda x: F.cross_entropy(20 * encode(x) @ bank.T, target, reduction="none")


def image_encoder(model: Any) -> Any:
    """A differentiable function from RGB images in [0, 1] to unit-norm features, weights frozen."""
    from guidegen.clip.fused import quickened

    device = next(model.parameters()).device
    model.requires_grad_(False)
    visual = quickened(model.visual, device=device, precision=torch.float32)
    mean = torch.tensor(model.visual.preprocess_cfg["mean"], device=device).view(3, 1, 1)
    std = torch.tensor(model.visual.preprocess_cfg["std"], device=device).view(3, 1, 1)

    def encode(images: Tensor) -> Tensor:
        return F.normalize(visual((images - mean) / std).float(), dim=-1)

    return encode

"""Class vectors and priors of BigGAN's latents."""

import torch
from torch import Tensor


def soft_top_k(logits: Tensor, k: int, temperature: float) -> Tensor:
    """The k largest softmax weights, each of the softmax without the larger ones; zeros elsewhere.

    Args:
        logits: [..., V].
        k: how many.
        temperature: of the softmax.

    Source: Big Sleep (lucidrains/big-sleep), `differentiable_topk`.
    """
    out = torch.zeros_like(logits)
    for _ in range(k):
        values, indices = (logits / temperature).softmax(-1).max(-1, keepdim=True)
        out = out.scatter(-1, indices, values)
        logits = logits.scatter(-1, indices, float("-inf"))
    return out


def moments_prior(z: Tensor) -> Tensor:
    """Big Sleep's regulariser of z [B, L, 128]: each row's moments those of N(0, 1); [B].

    mean |1 - std| + mean |mean| + 4 max(mean z², 1) + mean(|skew| + |excess kurtosis|)

    Source: lucidrains/big-sleep, `BigSleep.forward`.
    """
    mean = z.mean(2)
    apart = z - mean[..., None]
    scores = apart / apart.square().mean(2, keepdim=True).sqrt()
    skew, kurtosis = scores.pow(3).mean(2), scores.pow(4).mean(2) - 3
    return (
        (1 - z.std(2)).abs().mean(1)
        + mean.abs().mean(1)
        + 4 * z.square().mean((1, 2)).clamp(min=1)
        + (skew.abs() + kurtosis.abs()).mean(1)
    )


def gaussian_prior(z: Tensor) -> Tensor:
    """Half the mean square of z [B, L, 128]: the negative log density of N(0, 1) a number; [B]."""
    return 0.5 * z.square().mean((1, 2))


def few_classes_prior(classes: Tensor) -> Tensor:
    """Big Sleep's regulariser of class vectors [B, L, V]: all but each row's largest are 0; [B].

    Mean of (50 c)² over the V - 1 smallest of each row.

    Source: lucidrains/big-sleep, `BigSleep.forward`, whose 999 is V - 1.
    """
    squares = (50 * classes).square()
    largest = squares.amax(2)
    return ((squares.sum(2) - largest) / (classes.shape[2] - 1)).mean(1)

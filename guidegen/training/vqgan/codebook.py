"""The codebook of a VQGAN in training: k-means start, moving averages, restart of dead entries."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest row of `codebook` [K, C] for each row of `z` [N, C]: int [N]."""
    return torch.addmm(codebook.square().sum(1), z, codebook.T, alpha=-2).argmin(1)


def k_means(z: Tensor, k: int, rng: torch.Generator, *, rounds: int = 10) -> Tensor:
    """Lloyd's algorithm from random rows of `z` [N, C]; empty clusters restart: [k, C]."""
    centres = _draw(z, k, rng)
    for _ in range(rounds):
        codes = nearest(z, centres)
        count = torch.bincount(codes, minlength=k).to(z.dtype)[:, None]
        total = torch.zeros_like(centres).index_add_(0, codes, z)
        centres = torch.where(count > 0, total / count.clamp(min=1), _draw(z, k, rng))
    return centres


def perplexity(count: Tensor) -> float:
    """Exponential of the entropy of how often each entry is used: 1 (collapse) to their number."""
    share = count.double() / count.sum()
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))


def _draw(z: Tensor, n: int, rng: torch.Generator) -> Tensor:
    return z[torch.randint(0, len(z), (n,), generator=rng).to(z.device)].clone()


class Codebook(nn.Module):
    """Keeps the weight of an embedding at the mean of what is assigned to each entry.

    Args:
        weight: [K, C], changed in place.
        decay: of the moving averages.
        dead: an entry that is used less often than this share of an even use starts again at a
            random output of the encoder.

    Source: van den Oord et al. 2017 (arXiv:1711.00937), appendix A.1; restarts: Dhariwal et al.
    2020 (arXiv:2005.00341).
    """

    count: Tensor
    total: Tensor

    def __init__(self, weight: Tensor, *, decay: float = 0.99, dead: float = 0.03) -> None:
        super().__init__()
        self.weight_ref = [weight]  # in a list: it belongs to the model's state, not to ours
        self.decay, self.dead = decay, dead
        self.register_buffer("count", torch.ones(len(weight), device=weight.device))
        self.register_buffer("total", weight.detach().clone())

    @torch.no_grad()
    def start(self, z: Tensor, rng: torch.Generator) -> None:
        """K-means of encoder outputs [N, C]."""
        weight = self.weight_ref[0]
        weight.copy_(k_means(z, len(weight), rng))
        self.count.fill_(len(z) / len(weight) / 8)
        self.total.copy_(weight * self.count[:, None])

    @torch.no_grad()
    def update(self, z: Tensor, codes: Tensor, rng: torch.Generator | None) -> None:
        """One step; entries restart only if there is an `rng`.

        Args:
            z: encoder outputs, float32 [N, C].
            codes: the entry that each was given, int [N].
            rng: for restarts.
        """
        weight = self.weight_ref[0]
        now = torch.bincount(codes, minlength=len(weight)).to(z.dtype)
        self.count.lerp_(now, 1 - self.decay)
        self.total.lerp_(torch.zeros_like(self.total).index_add_(0, codes, z), 1 - self.decay)
        even = len(codes) / len(weight)
        weak = self.count < self.dead * even
        if rng is not None and weak.any():
            fresh = _draw(z, len(weight), rng)
            self.total[weak] = fresh[weak] * even / 2
            self.count[weak] = even / 2
        weight.copy_(self.total / self.count.clamp(min=1e-6)[:, None])


def lookup(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise [n, C, h, w]: nearest rows [n, C, h, w] without gradient, and codes [n * h * w]."""
    rows = z.detach().permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    codes = nearest(rows, codebook)
    n, _, h, w = z.shape
    return F.embedding(codes, codebook).view(n, h, w, -1).permute(0, 3, 1, 2).detach(), codes


def scrambled(codes: Tensor, codebook: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Replace some cells of [n, C, h, w] by random rows of the codebook [K, C].

    A decoder that has learned to undo this draws what most cells say, also where the codes come
    from a search and not from an encoder.

    Args:
        codes: quantised latents.
        codebook: what the replacements are drawn from, evenly.
        share: of a picture's cells that are replaced at most; half of the pictures are spared.
        rng: on the CPU.

    Source: the idea is that of Yang et al. 2025 (arXiv:2507.15856), who add noise instead.
    """
    n, _, h, w = codes.shape
    shares = share * (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1).clamp(min=0)
    hit = torch.rand(n, 1, h, w, generator=rng) < shares
    drawn = torch.randint(len(codebook), (n, h, w), generator=rng).to(codes.device)
    return torch.where(
        hit.to(codes.device), F.embedding(drawn, codebook).permute(0, 3, 1, 2), codes
    )

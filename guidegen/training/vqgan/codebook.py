"""The codebook of a VQGAN in training: k-means start, moving averages, restart of dead entries."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from guidegen.training.device import sent


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
    return z[sent(torch.randint(0, len(z), (n,), generator=rng), z.device)].clone()


def usage(codes: Tensor, k: int) -> Tensor:
    """How often each of `k` entries is in `codes`, int [N]: float [k]."""
    # bincount would wait for the device to learn how long its answer is
    count = torch.zeros(k, device=codes.device)
    return count.index_add_(0, codes, torch.ones_like(codes, dtype=count.dtype))


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
        self.count.lerp_(usage(codes, len(weight)), 1 - self.decay)
        self.total.lerp_(torch.zeros_like(self.total).index_add_(0, codes, z), 1 - self.decay)
        even = len(codes) / len(weight)
        weak = self.count < self.dead * even
        if rng is not None:
            fresh = _draw(z, len(weight), rng)
            self.total.copy_(torch.where(weak[:, None], fresh * even / 2, self.total))
            self.count.masked_fill_(weak, even / 2)
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
    drawn = _random_rows((n, h, w), codebook, rng)
    return torch.where(sent(hit, codes.device), drawn, codes)


def noisy(z: Tensor, codebook: Tensor, deviation: float, rng: torch.Generator) -> Tensor:
    """Encoder outputs [n, C, h, w] with noise, as codes that a search moves are.

    A decoder that has learned to see through it draws alike from codes that lie near each other.

    Args:
        z: encoder outputs.
        codebook: [K, C], whose spread of each channel the noise is measured by.
        deviation: greatest of a picture; half of the pictures are spared, the others' is even.
        rng: on the CPU.

    Source: Yang et al. 2025 (arXiv:2507.15856).
    """
    n = len(z)
    share = deviation * (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1).clamp(min=0)
    noise = sent(share * torch.randn(z.shape, generator=rng), z.device)
    return z + noise * codebook.std(0)[:, None, None]


def sampled(z: Tensor, codebook: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Codes of no picture: sums of random grids of four scales, and of pictures' own latents.

    Such codes are what guidance starts from and passes through.

    Args:
        z: encoder outputs of a batch, [m, C, h, w].
        codebook: [K, C].
        n: how many, m at most.
        rng: on the CPU.

    Returns:
        Nearest rows of the codebook, [n, C, h, w].
    """
    h, w = z.shape[2:]
    parts = [z[:n]]
    for factor in (1, 2, 4, 8):
        coarse = _random_rows((n, max(1, h // factor), max(1, w // factor)), codebook, rng)
        parts.append(F.interpolate(coarse, (h, w), mode="bicubic"))
    weights = torch.rand(len(parts), n, 1, 1, 1, generator=rng) ** 2
    weights = sent(weights / weights.norm(dim=0, keepdim=True), z.device)
    centre = codebook.mean(0)[:, None, None]
    return lookup(centre + (weights * (torch.stack(parts) - centre)).sum(0), codebook)[0]


def _random_rows(shape: tuple[int, int, int], codebook: Tensor, rng: torch.Generator) -> Tensor:
    """Random entries of a codebook [K, C] in grids (n, h, w): [n, C, h, w]."""
    drawn = sent(torch.randint(len(codebook), shape, generator=rng), codebook.device)
    return F.embedding(drawn, codebook).permute(0, 3, 1, 2)

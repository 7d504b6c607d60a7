"""The network that maps a text's CLIP embedding and noise to a generator's latents.

Grids (latents [c, h, w]) come from a small convolutional decoder that doubles its side level by
level, told of the text at each. The coarsest level of a grid's side gives it, or that of half the
side, four cells from each of its own (Shi et al. 2016, arXiv:1609.05158): a level as fine as the
finest grid costs more than all the others, and saves a weave of dots. Other latents are linear in
the last hidden layer. To all of them a linear function of the embedding is added, of low rank,
which can be fitted to pictures at once.

Sources: Pinkney & Li 2022, clip2latent (arXiv:2210.02347); repository
mehdidc/feed_forward_vqgan_clip (texts alone, CLIP's loss).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_BASE = 4  # side of the decoder's first feature map
_MOST_CHANNELS, _FEWEST_CHANNELS = 128, 16
# A start that is always the same has no spread of its own; a painter's layers move about so much.
_LEAST_SPREAD = 0.3


@dataclass(frozen=True, kw_only=True)
class NetworkSizes:
    """How large a network is.

    Attributes:
        embedding: numbers of a text's embedding.
        noise: numbers of noise beside it.
        width: of the hidden layers.
        channels: of the finest level; each has at most twice those of the next.
        rank: of the linear part.
        cells: of a grid along its side, for each of the level that it comes from; 1 or 2.
    """

    embedding: int
    noise: int = 32
    width: int = 512
    channels: int = 32
    rank: int = 128
    cells: int = 2


class PredictorNetwork(nn.Module):
    """See the module's docstring.

    Args:
        sizes: of its layers.
        shapes: name -> shape of one candidate, of each latent that it predicts.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: NetworkSizes, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.sizes, self.shapes = sizes, dict(shapes)
        # what makes embeddings about zero mean and unit spread; set by the training
        self.register_buffer("mean", torch.zeros(sizes.embedding))
        self.register_buffer("scale", torch.ones(()))
        width = sizes.width
        self.first = nn.Linear(sizes.embedding + sizes.noise, width)
        self.second = nn.Linear(width, width)
        self.third = nn.Linear(width, width)
        grids = {name: shape for name, shape in self.shapes.items() if len(shape) == 3}
        self.level_of = {n: _level(max(shape[1:]), sizes.cells) for n, shape in grids.items()}
        levels = 1 + max(self.level_of.values(), default=-1)
        channels = [_channels(level, levels, sizes.channels) for level in range(levels)]
        self.base = nn.Linear(width, channels[0] * _BASE**2) if levels else None
        self.levels = nn.ModuleList(
            _Level(channels[max(0, level - 1)], channels[level], width) for level in range(levels)
        )
        heads: dict[str, Any] = {}
        for name, shape in self.shapes.items():
            if name in self.level_of:
                level = self.level_of[name]
                outputs = shape[0] * (4 if _finer(shape, level) else 1)
                heads[name] = nn.Conv2d(channels[level], outputs, 3, padding=1)
            else:
                heads[name] = nn.Linear(width, int(torch.Size(shape).numel()))
        # names of latents may have dots, those of modules may not
        self.heads: Any = nn.ModuleList(heads.values())
        self.into = nn.Linear(sizes.embedding, sizes.rank, bias=False)
        self.out_of = nn.Linear(sizes.rank, sum(self.numbers()))
        nn.init.zeros_(self.out_of.weight)
        nn.init.zeros_(self.out_of.bias)
        for number, (name, shape) in enumerate(self.shapes.items()):
            centre = (shape[0], 1, 1) if name in self.level_of else ()
            self.register_buffer(f"centre{number}", torch.zeros(centre))
            self.register_buffer(f"spread{number}", torch.ones(()))
        for head in heads.values():
            nn.init.normal_(head.weight, std=0.1 * head.weight[0].numel() ** -0.5)
            nn.init.zeros_(head.bias)

    def forward(self, embeddings: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Latents [n, ...] each.

        Args:
            embeddings: [n, d], as CLIP gives them.
            noise: [n, m] of N(0, 1).
        """
        told = self.scaled(embeddings)
        straight = self.out_of(self.into(told)).split(self.numbers(), 1)
        x = F.silu(self.first(torch.cat([told, noise], 1)))
        x = x + F.silu(self.second(x))
        x = x + F.silu(self.third(x))
        maps: list[Tensor] = []
        if self.base is not None:
            now = self.base(x).view(len(x), -1, _BASE, _BASE)
            for number, level in enumerate(self.levels):
                now = level(now, x, enlarge=number > 0)
                maps.append(now)
        out = {}
        for number, (name, shape) in enumerate(self.shapes.items()):
            head = self.heads[number]
            if name in self.level_of:
                place = self.level_of[name]
                value = head(maps[place])
                if _finer(shape, place):
                    value = F.pixel_shuffle(value, 2)
                if value.shape[1:] != shape:
                    value = F.adaptive_avg_pool2d(value, (shape[1], shape[2]))
            else:
                value = head(x).view(len(x), *shape)
            centre, spread = self.get_buffer(f"centre{number}"), self.get_buffer(f"spread{number}")
            out[name] = centre + spread * (value + straight[number].view(len(x), *shape))
        return out

    def numbers(self) -> list[int]:
        """How many numbers each latent has."""
        return [torch.Size(shape).numel() for shape in self.shapes.values()]

    def scaled(self, embeddings: Tensor) -> Tensor:
        """Embeddings [n, d] about zero and of about unit spread."""
        return (embeddings - self.mean) * self.scale

    @torch.no_grad()
    def calibrate(self, embeddings: Tensor, starts: Mapping[str, Tensor]) -> None:
        """Take the scale of what comes in and of what goes out from examples.

        Args:
            embeddings: [n, d] of many texts.
            starts: [n, ...] of each latent, as the generator itself would start.
        """
        self.mean.copy_(embeddings.mean(0))
        self.scale.copy_(1 / (embeddings - self.mean).std().clamp(min=1e-6))
        for number, name in enumerate(self.shapes):
            value = starts[name].float()
            centre = value.mean((0, 2, 3))[:, None, None] if name in self.level_of else value.mean()
            self.get_buffer(f"centre{number}").copy_(centre)
            self.get_buffer(f"spread{number}").copy_(value.std().clamp(min=_LEAST_SPREAD))

    @torch.no_grad()
    def fit(self, embeddings: Tensor, latents: Mapping[str, Tensor]) -> float:
        """Fit the linear part to examples: reduced-rank ridge regression.

        Args:
            embeddings: [n, d].
            latents: [n, ...] of each latent that is predicted.

        Returns:
            The share of the latents' variance that it explains in the last tenth of the examples,
            which chose how strongly it is held back.
        """
        wanted = []
        for number, name in enumerate(self.shapes):
            centre, spread = self.get_buffer(f"centre{number}"), self.get_buffer(f"spread{number}")
            wanted.append(((latents[name] - centre) / spread).flatten(1))
        x, y = self.scaled(embeddings), torch.cat(wanted, 1)
        cut = len(x) - max(1, len(x) // 10)
        mean_x, mean_y = x[:cut].mean(0), y[:cut].mean(0)
        x, y = x - mean_x, y - mean_y
        values, vectors = torch.linalg.eigh(x[:cut].T @ x[:cut] / cut)
        cross = vectors.T @ (x[:cut].T @ y[:cut] / cut)
        best, error = cross, torch.inf
        for held in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0):
            weight = vectors @ (cross / (values.clamp(min=0) + held)[:, None])
            away = float((x[cut:] @ weight - y[cut:]).square().mean())
            if away < error:
                best, error = weight, away
        # the directions of latents in which what it says varies most
        _, _, axes = torch.linalg.svd(
            (values.clamp(min=0).sqrt()[:, None] * (vectors.T @ best)), full_matrices=False
        )
        axes = axes[: self.sizes.rank]
        self.into.weight.zero_()
        self.into.weight[: len(axes)] = axes @ best.T
        self.out_of.weight.zero_()
        self.out_of.weight[:, : len(axes)] = axes.T
        self.out_of.bias.copy_(mean_y - self.out_of(self.into(mean_x)))
        return 1 - error / float(y[cut:].square().mean())


class _Level(nn.Module):
    """Two convolutions; the hidden layer of the text scales and shifts their channels (FiLM).

    Source: Perez et al. 2018 (arXiv:1709.07871).
    """

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.film = nn.Linear(width, 2 * outputs)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, text: Tensor, *, enlarge: bool) -> Tensor:
        x = self.first(x)
        if enlarge:  # only now: a quarter of the work
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = F.group_norm(x, 1)
        gain, shift = self.film(text)[:, :, None, None].chunk(2, 1)
        x = F.silu(x * (1 + gain) + shift)
        out: Tensor = x + F.silu(self.second(x))
        return out


def _level(side: int, cells: int) -> int:
    """The first level whose feature map has a grid's longer side, or half of it."""
    level = 0
    while cells * (_BASE << level) < side:
        level += 1
    return level


def _finer(shape: tuple[int, ...], level: int) -> bool:
    """Whether a grid has more cells than the feature map that it comes from."""
    return max(shape[1:]) > _BASE << level


def _channels(level: int, levels: int, finest: int) -> int:
    return max(_FEWEST_CHANNELS, min(_MOST_CHANNELS, finest << (levels - 1 - level)))

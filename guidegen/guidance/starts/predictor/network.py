"""The network that maps a text's CLIP embedding and noise to a generator's latents.

Grids (latents [c, h, w]) come from a small convolutional decoder that doubles its side level by
level, told of the text at each. The coarsest level of at least half a grid's side gives it, four
cells from each of its own (Shi et al. 2016, arXiv:1609.05158): a level as fine as the finest grid
would cost more than all the others. Other latents are linear in the last hidden layer.

Sources: Pinkney & Li 2022, clip2latent (arXiv:2210.02347); repository
mehdidc/feed_forward_vqgan_clip (texts alone, CLIP's loss).
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
    """

    embedding: int
    noise: int = 32
    width: int = 512
    channels: int = 32


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
        self.level_of = {name: _level(max(shape[1:])) for name, shape in grids.items()}
        levels = 1 + max(self.level_of.values(), default=-1)
        channels = [_channels(level, levels, sizes.channels) for level in range(levels)]
        self.base = nn.Linear(width, channels[0] * _BASE**2) if levels else None
        self.levels = nn.ModuleList(
            _Level(channels[max(0, level - 1)], channels[level], width) for level in range(levels)
        )
        heads: dict[str, nn.Module] = {}
        for name, shape in self.shapes.items():
            if name in self.level_of:
                level = self.level_of[name]
                outputs = shape[0] * (4 if _finer(shape, level) else 1)
                heads[name] = nn.Conv2d(channels[level], outputs, 3, padding=1)
            else:
                heads[name] = nn.Linear(width, int(torch.Size(shape).numel()))
        # names of latents may have dots, those of modules may not
        self.heads = nn.ModuleList(heads.values())
        for number, (name, shape) in enumerate(self.shapes.items()):
            centre = (shape[0], 1, 1) if name in self.level_of else ()
            self.register_buffer(f"centre{number}", torch.zeros(centre))
            self.register_buffer(f"spread{number}", torch.ones(()))
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.1 * head.weight[0].numel() ** -0.5)
            nn.init.zeros_(head.bias)

    def forward(self, embeddings: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Latents [n, ...] each.

        Args:
            embeddings: [n, d], as CLIP gives them.
            noise: [n, m] of N(0, 1).
        """
        x = F.silu(self.first(torch.cat([(embeddings - self.mean) * self.scale, noise], 1)))
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
                level = self.level_of[name]
                value = head(maps[level])
                if _finer(shape, level):
                    value = F.pixel_shuffle(value, 2)
                if value.shape[1:] != shape:
                    value = F.adaptive_avg_pool2d(value, shape[1:])
            else:
                value = head(x).view(len(x), *shape)
            centre, spread = self.get_buffer(f"centre{number}"), self.get_buffer(f"spread{number}")
            out[name] = centre + spread * value
        return out

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
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.group_norm(x, 1)
        gain, shift = self.film(text)[:, :, None, None].chunk(2, 1)
        x = F.silu(x * (1 + gain) + shift)
        out: Tensor = x + F.silu(self.second(x))
        return out


def _level(side: int) -> int:
    """The first level whose feature map has at least half a grid's longer side."""
    level = 0
    while 2 * (_BASE << level) < side:
        level += 1
    return level


def _finer(shape: tuple[int, ...], level: int) -> bool:
    """Whether a grid has more cells than the feature map that it comes from."""
    return max(shape[1:]) > _BASE << level


def _channels(level: int, levels: int, finest: int) -> int:
    return max(_FEWEST_CHANNELS, min(_MOST_CHANNELS, finest << (levels - 1 - level)))

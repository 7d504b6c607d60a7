"""A small patch discriminator, and its game against the decoder."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Sequential):
    """Whether each patch of some 46 px is of a drawing or of a reconstruction.

    RGB [n, 3, H, W] in [0, 1] to logits [n, 1, h, w], a patch every 8 px, positive for drawings.

    Args:
        width: channels at half the resolution; they double at each further halving.

    Source: Isola et al. 2017 (arXiv:1611.07004), with spectral normalisation (Miyato et al. 2018,
    arXiv:1802.05957) in place of batch norm, which a batch of four is too small for.
    """

    def __init__(self, width: int = 64) -> None:
        sides = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in pairwise(sides):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
        super().__init__(*layers, spectral_norm(nn.Conv2d(sides[-1], 1, 4, 1, 1)))


class Adversary:
    """A discriminator that learns beside the VQGAN.

    Args:
        device: where it runs.
        lr: its learning rate, which stays.

    Source: the hinge loss is that of Lim & Ye 2017 (arXiv:1705.02894), as in taming-transformers.
    """

    def __init__(self, device: torch.device, *, lr: float = 2e-4) -> None:
        self.net = PatchDiscriminator().to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=lr, betas=(0.5, 0.9))

    def judge(self, pictures: Tensor) -> Tensor:
        """What the decoder is to lower: minus the mean logit of [n, 3, H, W], a scalar."""
        self.net.requires_grad_(False)
        return -self._logits(pictures).mean()

    def learn(self, drawings: Tensor, reconstructions: Tensor) -> Tensor:
        """One step to tell [n, 3, H, W] from [m, 3, H, W] apart; the hinge loss, 0 to about 2."""
        self.net.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        real, fake = self._logits(drawings), self._logits(reconstructions.detach())
        loss = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _logits(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.net((2 * pictures - 1).contiguous(memory_format=torch.channels_last))
        return out

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])

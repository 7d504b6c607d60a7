"""Any timm network as an image tower that adversarial training trains whole."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from guidegen.precision import autocast


class NetworkTower(nn.Module):
    """A trainable copy of an image tower; its batch norms take the statistics of each batch.

    Args:
        visual: image tower of an open_clip model; it is left unchanged.
        precision: of the convolutions' arithmetic; the parameters themselves are float32.
    """

    def __init__(self, visual: Any, *, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.visual: Any = copy.deepcopy(visual).to(memory_format=torch.channels_last)
        self.precision = precision
        self.requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        """Unit-norm features [n, d], float32, of RGB images [n, 3, H, W] in [0, 1]."""
        x = ((images - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
        with autocast(images.device, self.precision):
            features = self.visual(x)
        return F.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def write_into(self, visual: Any) -> None:
        """Give the weights and statistics to an ordinary tower of the same architecture."""
        visual.load_state_dict(self.visual.state_dict())

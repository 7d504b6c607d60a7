"""Perceptual distance through the frozen image tower of the embedded CLIP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from guidegen.training.clip import tower
from guidegen.training.device import bf16_where_quick


class PerceptualLoss(nn.Module):
    """Distance of feature maps at strides 4, 8 and 16, and of the embedding.

    Differences are in units of each channel's own spread in the reference. (Unit length at every
    place, as usual with VGG, has gradients without bound where this tower's features are near 0.)

    Args:
        visual: image tower of an open_clip model with a timm EfficientNet; frozen here.

    Source: Zhang et al. 2018 (arXiv:1801.03924), without its learned weights.
    """

    taken = (2, 3, 5)  # stages whose features count: blocks 1, 2 and 4

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.stages = tower.stages(visual.trunk)
        tower.run_in_float32(tower.depthwise(self.stages))

    def forward(self, images: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Distances of RGB pictures [n, 3, H, W] in [0, 1]; gradient in `images` only.

        Returns:
            Means over the batch: of the feature maps' distance, of 1 - cosine of the embeddings.
        """
        with torch.no_grad():
            wanted, target = self._features(reference)
        maps, embedding = self._features(images)
        parts = []
        for a, b in zip(maps, wanted, strict=True):
            spread = b.std((0, 2, 3), keepdim=True) + 1e-2
            parts.append(F.smooth_l1_loss(a / spread, b / spread))
        distance = torch.stack(parts).mean()
        return distance, (1 - (embedding * target).sum(1)).mean()

    def _features(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        x = ((images - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
        maps = []
        with bf16_where_quick(x.device):
            for i, stage in enumerate(self.stages):
                x = stage(x)
                if i in self.taken:
                    maps.append(x.float())
            embedding = self.visual.head(x)
        return maps, F.normalize(embedding.float(), dim=-1)


class Balance:
    """Joins gradients of several losses at the picture, each at a fixed share of the length.

    Losses of such different kinds have gradients of lengths that differ a thousandfold, and the
    ratio drifts; here each loss pulls as hard as it was told to.

    Args:
        shares: name -> how hard it pulls beside the first, which keeps its own length.
        decay: of the average length that each is divided by.

    Source: Défossez et al. 2022 (arXiv:2210.13438), section 3.4.
    """

    def __init__(self, shares: dict[str, float], *, decay: float = 0.95) -> None:
        self.shares, self.decay = shares, decay
        self.lengths: dict[str, Tensor] = {}  # stay on the device: reading one waits for it

    def __call__(self, losses: dict[str, Tensor], picture: Tensor) -> Tensor:
        """Gradient at `picture`, a leaf that all losses follow from."""
        joint = torch.zeros_like(picture)
        for i, (name, loss) in enumerate(losses.items()):
            (grad,) = torch.autograd.grad(loss, picture, retain_graph=i + 1 < len(losses))
            now = grad.norm().double()
            before = self.lengths.get(name, now).to(now.device)
            mean = self.lengths[name] = self.decay * before + (1 - self.decay) * now
            joint += grad * (self.shares[name] / mean.clamp(min=1e-12))
        return joint * self.lengths[next(iter(losses))]

    def state_dict(self) -> dict[str, Tensor]:
        """For checkpoints."""
        return dict(self.lengths)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.lengths = dict(state)

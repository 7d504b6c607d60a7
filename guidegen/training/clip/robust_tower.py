"""The image tower as adversarial training runs it: batch norm folded, channels last.

An attack needs the gradient at the picture and training the gradient at the weights, so every step
goes through the tower several times; `guidegen.clip.fused_cnn` is the quick way through it. Here
its pointwise convolutions, stem and projection are parameters; the depthwise kernels stay as they
were trained, since their weight gradient costs more on a CPU than all the rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from guidegen.clip.fused_cnn import NHWCEfficientNet


class RobustTower(nn.Module):
    """A trainable copy of an EfficientNet image tower.

    Args:
        visual: image tower of an open_clip model (timm EfficientNet-Lite); it is left unchanged.
        precision: of the convolutions' arithmetic; the parameters themselves are float32.
    """

    def __init__(self, visual: Any, *, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        tower: Any = NHWCEfficientNet(visual, precision=precision)
        tower.stem = _TrainedStem(tower.stem)
        tower.last = _TrainedPointwise(tower.last)
        for block in tower.blocks:
            if not isinstance(block.widen, nn.Identity):
                block.widen = _TrainedPointwise(block.widen)
            block.narrow = _TrainedPointwise(block.narrow)
        tower.head = _copy_of(tower.head)
        self.tower: Any = tower
        self.requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        """Unit-norm features [n, d], float32, of RGB images [n, 3, H, W] in [0, 1]."""
        return F.normalize(self.tower((images - 0.5) / 0.5), dim=-1)

    @torch.no_grad()
    def write_into(self, visual: Any) -> None:
        """Give the weights to an ordinary tower of the same architecture.

        Its batch norms become the identity but for their offset, which is where the folded bias
        goes; the features are equal within rounding.
        """
        trunk, tower = visual.trunk, self.tower
        _unfold(trunk.conv_stem, trunk.bn1, tower.stem)
        blocks = [block for stage in trunk.blocks for block in stage]
        for ours, block in zip(tower.blocks, blocks, strict=True):
            if hasattr(block, "conv_pwl"):
                _unfold(block.conv_pw, block.bn1, ours.widen)
                _unfold(block.conv_dw, block.bn2, ours.mix)
                _unfold(block.conv_pwl, block.bn3, ours.narrow)
            else:
                _unfold(block.conv_dw, block.bn1, ours.mix)
                _unfold(block.conv_pw, block.bn2, ours.narrow)
        _unfold(trunk.conv_head, trunk.bn2, tower.last)
        visual.head.load_state_dict(tower.head.state_dict())


class _TrainedPointwise(nn.Module):
    """A pointwise convolution [n, h, w, c] whose weights train."""

    def __init__(self, frozen: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(frozen.weight.float().clone())
        self.bias = nn.Parameter(frozen.bias.float().clone())
        self.act: nn.Module = frozen.act

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        rows = self.act(F.linear(x.reshape(-1, x.shape[-1]), weight, bias))
        out: Tensor = rows.view(*x.shape[:-1], -1)
        return out


class _TrainedStem(nn.Module):
    """The first convolution, [n, 3, H, W] to [n, h, w, c], whose weights train."""

    def __init__(self, frozen: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(frozen.weight.float().clone())
        self.bias = nn.Parameter(frozen.bias.float().clone())
        self.act: nn.Module = frozen.act
        self.conv = frozen.conv

    def forward(self, images: Tensor) -> Tensor:
        x = F.pad(images, self.conv.around(*images.shape[-2:]))
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        out = self.act(F.conv2d(x, weight, bias, stride=self.conv.stride))
        seen: Tensor = out.permute(0, 2, 3, 1)
        return seen


def _copy_of(head: Any) -> nn.Module:
    copy = nn.Sequential()
    for name, module in head.named_children():
        kept = (
            nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            if isinstance(module, nn.Linear)
            else module
        )
        copy.add_module(name, kept)
    copy.load_state_dict(head.state_dict())
    return copy


def _unfold(conv: nn.Conv2d, norm: Any, ours: Any) -> None:
    conv.weight.copy_(ours.weight.view_as(conv.weight))
    if conv.bias is not None:
        conv.bias.zero_()
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(ours.bias)

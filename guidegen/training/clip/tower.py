"""What of the model is trained on images, and making that fast enough on a CPU."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class Trained(nn.Module):
    """The part of an open_clip model that image training changes; names as in the whole model.

    Args:
        model: an open_clip CLIP.
        text: train the text tower, too; otherwise only its projection.
    """

    def __init__(self, model: Any, *, text: bool = False) -> None:
        super().__init__()
        if text:
            self.token_embedding: Any = model.token_embedding
            self.positional_embedding: nn.Parameter = model.positional_embedding
            self.transformer: Any = model.transformer
            self.ln_final: Any = model.ln_final
        self.visual: Any = model.visual
        self.text_projection: nn.Parameter = model.text_projection
        self.logit_scale: nn.Parameter = model.logit_scale


LAST = 8  # number of the last stage


def stages(trunk: Any) -> list[nn.Module]:
    """A timm EfficientNet in order: stem, blocks 0 to 6, last convolution and pooling."""
    stem = nn.Sequential(trunk.conv_stem, trunk.bn1)
    head = nn.Sequential(trunk.conv_head, trunk.bn2, trunk.global_pool)
    return [stem, *trunk.blocks, head]


def freeze_before(visual: Any, first: int) -> None:
    """Make the stages from `first` on trainable, and freeze those before; the projection trains."""
    for i, stage in enumerate(stages(visual.trunk)):
        stage.requires_grad_(i >= first)
    visual.head.requires_grad_(True)


def features(visual: Any, images: Tensor, first: int) -> Tensor:
    """Image features [n, d], not yet of unit norm; no graph is built before stage `first`.

    Args:
        visual: the image tower.
        images: RGB [n, 3, H, W] in [0, 1].
        first: number of the first stage that trains; beyond the last one, only the projection does.
    """
    x = (images - 0.5) / 0.5
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        for i, stage in enumerate(stages(visual.trunk)):
            with torch.set_grad_enabled(i >= first and torch.is_grad_enabled()):
                x = stage(x)
        out: Tensor = visual.head(x)
    return out.float()


def depthwise(stage_list: Iterable[nn.Module]) -> list[nn.Conv2d]:
    """The depthwise convolutions of some stages."""
    return [
        m for s in stage_list for m in s.modules()
        if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1
    ]  # fmt: skip


def run_in_float32(convolutions: Iterable[nn.Conv2d]) -> None:
    """Keep convolutions out of autocast on a CPU.

    There the bf16 backward of a depthwise convolution is slow, with stride 2 some fifty times
    slower than in float32; the forward costs about the same.
    """
    for module in convolutions:
        module.forward = partial(_float32_forward, module)  # type: ignore[method-assign]


def _float32_forward(module: nn.Conv2d, x: Tensor) -> Tensor:
    if x.device.type != "cpu":
        return type(module).forward(module, x)
    with torch.autocast(x.device.type, enabled=False):
        return type(module).forward(module, x.float()).to(x.dtype)


@torch.no_grad()
def adapt_batch_norm(visual: Any, batches: Iterable[Tensor]) -> None:
    """Replace the batch-norm statistics by those of our pictures (Li et al. 2016, AdaBN)."""
    norms = [m for m in visual.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a plain average over all batches
    visual.train()
    for images in batches:
        features(visual, images, LAST + 1)
    visual.eval()
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum

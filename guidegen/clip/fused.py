"""Image towers rewritten for guidance: the same values in less time.

The weights are frozen, only the gradient at the image is wanted, and the arithmetic is known before
the first step. So weights are cast once instead of at every forward, batch norm is folded into the
convolutions, and the kernels are those whose backward to the input is quick. What is not recognised
stays as it is.
"""

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from guidegen.clip.fused_cnn import NHWCEfficientNet, fold_batch_norm
from guidegen.clip.fused_vit import FlatViT
from guidegen.precision import Arithmetic, autocast, choose, perceptor_dtypes


def quickened(visual: nn.Module, *, device: torch.device, precision: torch.dtype) -> nn.Module:
    """The same tower, faster; its weights may be those of the old one, or replace them.

    Args:
        visual: image tower of an open_clip model, frozen, in evaluation mode, on its device.
        device: where it computes.
        precision: of its matrix products.

    Returns:
        A tower whose features are those of `visual` within rounding. It wants the same autocast
        context around it.
    """
    if is_plain_vit(visual):
        return FlatViT(visual, device=device, precision=precision)
    if device.type == "cpu" and is_efficientnet(visual):
        return NHWCEfficientNet(visual, precision=precision)
    if _is_resnet(visual):
        _fold_resnet(visual)
    if precision != torch.float32:
        _cast(visual, precision)
    return visual


# Images of the work that is timed: a few take as long each as many.
_IMAGES = 4


def fastest_arithmetic(visual: nn.Module, *, side: int, device: torch.device) -> Arithmetic:
    """What an image tower computes in, timed where there is a choice.

    A plain ViT is timed with two blocks, since all of them are alike; others as a whole, on a copy.

    Args:
        visual: as `quickened` takes it.
        side: of its input in pixels.
        device: where it computes.
    """
    choices = [
        Arithmetic(dtype, last)
        for dtype in perceptor_dtypes(device)
        for last in _layouts(visual, device)
    ]

    def workload(choice: Arithmetic) -> Callable[[], object]:
        layout = torch.channels_last if choice.channels_last else torch.contiguous_format
        tower = quickened(
            _shortened(visual).to(memory_format=layout), device=device, precision=choice.dtype
        )
        rng = torch.Generator().manual_seed(0)
        images = torch.rand(_IMAGES, 3, side, side, generator=rng).to(device, memory_format=layout)

        def run() -> None:
            seen = images.detach().requires_grad_()
            with autocast(device, choice.dtype):
                features = tower(seen)
            features.float().square().sum().backward()

        return run

    weights = [(name, tuple(p.shape)) for name, p in visual.named_parameters()]
    digest = hashlib.sha256(repr(weights).encode()).hexdigest()[:16]
    name = f"image tower {type(visual).__name__}"
    return choose(name, f"{side} px, weights {digest}", choices, workload, device=device)


def _layouts(visual: nn.Module, device: torch.device) -> tuple[bool, ...]:
    if not is_convolutional(visual):
        return (False,)
    if device.type == "cpu" and is_efficientnet(visual):
        return (True,)  # its kernels know no other
    return (True, False)


def _shortened(visual: nn.Module) -> nn.Module:
    """A copy, of plain ViTs with two blocks."""
    if not is_plain_vit(visual):
        return copy.deepcopy(visual)
    transformer: Any = visual.transformer
    blocks = transformer.resblocks
    try:
        transformer.resblocks = blocks[:2]
        return copy.deepcopy(visual)
    finally:
        transformer.resblocks = blocks


def is_convolutional(tower: nn.Module) -> bool:
    """Whether an image tower is a CNN rather than a ViT, whose only convolutions cut patches."""
    kernels = [m.kernel_size for m in tower.modules() if isinstance(m, nn.Conv2d)]
    return sum(max(kernel) > 1 for kernel in kernels) >= 8


def is_plain_vit(visual: nn.Module) -> bool:
    """Whether it is open_clip's ViT without variations (OpenAI's, LAION's, DataComp's...)."""
    from open_clip import transformer as parts

    if type(visual) is not parts.VisionTransformer:
        return False
    tower: Any = visual
    conv, blocks = tower.conv1, tower.transformer.resblocks
    norms = (parts.LayerNorm, parts.LayerNormFp32)
    return (
        tower.attn_pool is None
        and tower.pool_type in ("tok", "avg")
        and not tower.output_tokens
        and type(tower.ln_pre) in (nn.Identity, *norms)
        and type(tower.ln_post) in norms
        and type(tower.transformer) is parts.Transformer
        and conv.stride == conv.kernel_size
        and (conv.padding, conv.dilation, conv.groups) == ((0, 0), (1, 1), 1)
        and len(blocks) > 0
        and all(_is_plain_block(block, norms) for block in blocks)
    )


def _is_plain_block(block: Any, norms: tuple[type, ...]) -> bool:
    from open_clip import transformer as parts

    return (
        type(block) is parts.ResidualAttentionBlock
        and not hasattr(block, "ln_1_kv")
        and type(block.ln_1) in norms
        and type(block.ln_2) in norms
        and type(block.ls_1) in (nn.Identity, parts.LayerScale)
        and type(block.ls_2) in (nn.Identity, parts.LayerScale)
        and block.attn.in_proj_weight is not None
        and block.attn.in_proj_bias is not None
        and block.attn.bias_k is None
        and not block.attn.add_zero_attn
        and [name for name, _ in block.mlp.named_children()] == ["c_fc", "gelu", "c_proj"]
        and type(block.mlp.gelu) in (nn.GELU, parts.QuickGELU)
    )


def is_efficientnet(visual: nn.Module) -> bool:
    """Whether it is timm's EfficientNet of plain blocks: no squeeze-excitation, no blur."""
    trunk: Any = getattr(visual, "trunk", None)
    if type(trunk).__name__ != "EfficientNet" or not hasattr(visual, "head"):
        return False
    return all(_is_plain_mobile(block) for stage in trunk.blocks for block in stage)


def _is_plain_mobile(block: Any) -> bool:
    if type(block).__name__ not in ("DepthwiseSeparableConv", "InvertedResidual"):
        return False
    inverted = hasattr(block, "conv_pwl")
    pointwise = [block.conv_pw, block.conv_pwl] if inverted else [block.conv_pw]
    depthwise = block.conv_dw
    return (
        all((c.kernel_size, c.stride, c.groups) == ((1, 1), (1, 1), 1) for c in pointwise)
        and depthwise.groups == depthwise.in_channels == depthwise.out_channels
        and depthwise.dilation == (1, 1)
        and isinstance(depthwise.padding, tuple)
        and len({*depthwise.kernel_size}) == len({*depthwise.stride}) == 1
        and getattr(block, "conv_s2d", None) is None
        and all(type(part) is nn.Identity for part in (block.se, block.aa, block.drop_path))
    )


def _is_resnet(visual: nn.Module) -> bool:
    from open_clip.modified_resnet import ModifiedResNet

    return type(visual) is ModifiedResNet


def _fold_resnet(visual: Any) -> None:
    """Batch norm into the convolutions of OpenAI's ResNets, in place."""
    stages = [visual.layer1, visual.layer2, visual.layer3, visual.layer4]
    for part in (visual, *(block for stage in stages for block in stage)):
        for number in "123":
            conv, norm = getattr(part, f"conv{number}"), getattr(part, f"bn{number}")
            setattr(part, f"conv{number}", fold_batch_norm(conv, norm))
            setattr(part, f"bn{number}", nn.Identity())
        down = getattr(part, "downsample", None)
        if down is not None:  # average pooling "-1", convolution "0", batch norm "1"
            down[1], down[2] = fold_batch_norm(down[1], down[2]), nn.Identity()


def _cast(visual: nn.Module, precision: torch.dtype) -> None:
    """Weights of linear layers and convolutions once; autocast does it at every forward.

    It keeps its casts of weights that have gradients only, and frozen ones have none.
    """
    for module in visual.modules():
        if type(module) is nn.Linear or isinstance(module, nn.Conv2d):
            module.to(precision)

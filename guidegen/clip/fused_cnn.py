"""Convolutions for guidance: folded batch norm, and backward to the input by forward kernels."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def fold_batch_norm(conv: nn.Conv2d, norm: Any) -> nn.Conv2d:
    """The convolution with the statistics of its batch norm in its weights; in place.

    Exact but for rounding: in evaluation batch norm is one factor and one offset per channel.
    """
    weight, bias = folded(conv, norm)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    conv.bias = nn.Parameter(bias, requires_grad=False)
    return conv


def folded(conv: nn.Conv2d, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution followed by a batch norm in evaluation."""
    deviation = (norm.running_var.double() + norm.eps).sqrt()
    factor = norm.weight.detach().double() / deviation
    mean = norm.running_mean.double() if conv.bias is None else norm.running_mean - conv.bias
    bias = norm.bias.detach().double() - factor * mean
    weight = conv.weight.detach().double() * factor.view(-1, 1, 1, 1)
    return weight.to(conv.weight.dtype), bias.to(conv.weight.dtype)


class NHWCEfficientNet(nn.Module):
    """timm's EfficientNet with channels last: pointwise convolutions are products of matrices.

    Args:
        visual: as `clip_speed.is_efficientnet` accepts it.
        precision: of the convolutions; what follows the last of them is float32.

    Source: Tan & Le 2019 (arXiv:1905.11946); package timm.
    """

    def __init__(self, visual: Any, *, precision: torch.dtype) -> None:
        super().__init__()
        trunk = visual.trunk
        self.preprocess_cfg = visual.preprocess_cfg
        self.precision = precision
        self.stem = _Stem(trunk.conv_stem, trunk.bn1, precision)
        self.blocks = nn.ModuleList(_Block(b, precision) for stage in trunk.blocks for b in stage)
        self.last = _Pointwise(trunk.conv_head, trunk.bn2, precision)
        self.pool: nn.Module = trunk.global_pool
        self.classifier: nn.Module = trunk.classifier
        self.head: nn.Module = visual.head

    def forward(self, images: Tensor) -> Tensor:
        """Features [n, d], float32, of normalised images [n, 3, H, W]."""
        with torch.autocast(images.device.type, enabled=False):
            x = self.stem(images.to(self.precision))
            for block in self.blocks:
                x = block(x)
            x = self.pool(self.last(x).permute(0, 3, 1, 2).float())
            return _in_lots(self.head, self.classifier(x))


# Rows of the last product: fewer than that take kernels with another order of summation.
_LOT = 16


def _in_lots(layer: nn.Module, x: Tensor) -> Tensor:
    """Rows [n, d] through a layer, `_LOT` at a time, the last lot filled up with zeros.

    A row's bits then do not depend on how many others there are.
    """
    filled = F.pad(x, (0, 0, 0, -len(x) % _LOT))
    return torch.cat([layer(lot) for lot in filled.split(_LOT)])[: len(x)]


class _Block(nn.Module):
    """Pointwise (or none), depthwise, pointwise, on [n, h, w, c]."""

    def __init__(self, block: Any, precision: torch.dtype) -> None:
        super().__init__()
        inverted = hasattr(block, "conv_pwl")
        norms = [block.bn2, block.bn3] if inverted else [block.bn1, block.bn2]
        self.widen = _Pointwise(block.conv_pw, block.bn1, precision) if inverted else nn.Identity()
        self.mix = _Depthwise(block.conv_dw, norms[0], precision)
        last = block.conv_pwl if inverted else block.conv_pw
        self.narrow = _Pointwise(last, norms[1], precision)
        self.skip = bool(block.has_skip)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(self.mix(self.widen(x)))
        return out.add_(x) if self.skip else out


class _Pointwise(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, norm: Any, precision: torch.dtype) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        self.register_buffer("weight", weight.flatten(1).to(precision))
        self.register_buffer("bias", bias.to(precision))
        self.act = _new_result(norm.act)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.act(F.linear(x.reshape(-1, x.shape[-1]), self.weight, self.bias))
        out: Tensor = rows.view(*x.shape[:-1], -1)
        return out


class _Depthwise(nn.Module):
    weight: Tensor
    flipped: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, norm: Any, precision: torch.dtype) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        self.register_buffer("weight", weight.contiguous().to(precision))
        self.register_buffer("flipped", weight.flip(2, 3).contiguous().to(precision))
        self.register_buffer("bias", bias.to(precision))
        self.conv = _Shape(conv)
        self.act = _new_result(norm.act)

    def forward(self, x: Tensor) -> Tensor:
        around = self.conv.around(x.shape[1], x.shape[2])
        out = _DepthwiseConv.apply(
            x.permute(0, 3, 1, 2), self.weight, self.flipped, self.bias, self.conv.stride, around
        )
        seen: Tensor = self.act(out).permute(0, 2, 3, 1)
        return seen


class _Stem(nn.Module):
    """The first convolution: [n, 3, H, W] to [n, h, w, c]."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, norm: Any, precision: torch.dtype) -> None:
        super().__init__()
        weight, bias = folded(conv, norm)
        self.register_buffer("weight", weight.to(precision, memory_format=torch.channels_last))
        self.register_buffer("bias", bias.to(precision))
        self.conv = _Shape(conv)
        self.act = _new_result(norm.act)

    def forward(self, images: Tensor) -> Tensor:
        x = F.pad(images, self.conv.around(*images.shape[-2:]))
        out = self.act(F.conv2d(x, self.weight, self.bias, stride=self.conv.stride))
        seen: Tensor = out.permute(0, 2, 3, 1)
        return seen


class _Shape:
    """Stride and padding of a square convolution; "same" as TensorFlow means it, or symmetric."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.stride, self.kernel = conv.stride[0], conv.kernel_size[0]
        self.same = type(conv).__name__ == "Conv2dSame"
        self.padding = conv.padding

    def around(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, right, top, bottom."""
        if not self.same:
            rows, columns = (int(side) for side in self.padding)
            return columns, columns, rows, rows
        return (*self._same(width), *self._same(height))

    def _same(self, side: int) -> tuple[int, int]:
        out = -(-side // self.stride)
        missing = max((out - 1) * self.stride + self.kernel - side, 0)
        return missing // 2, missing - missing // 2


@dataclass(frozen=True)
class _Phase:
    """Every `stride`-th input of a strided convolution: they meet the same taps of the kernel.

    Attributes:
        taps: of the kernel turned round.
        first: the first input.
        skipped: outputs of the full convolution of the gradient with these taps that come before.
    """

    taps: slice
    first: int
    skipped: int


def _phases(side: int, kernel: int, stride: int, before: int) -> list[_Phase]:
    """The phases of one axis with `before` zeros ahead of it, without those that meet no tap.

    Input i meets tap t of output o where i + before = stride * o + t.
    """
    found = []
    for first in range(min(stride, side)):
        skipped, tap = divmod(first + before, stride)
        # turned round, tap t stands at kernel - 1 - t: the last of this phase comes first
        last = kernel - 1 - (kernel - 1 - tap) // stride * stride - tap if tap < kernel else kernel
        if last < kernel:
            found.append(_Phase(slice(last, kernel, stride), first, skipped))
    return found


def _new_result(act: nn.Module) -> nn.Module:
    """ReLU6 that writes a new tensor: PyTorch's in-place one clamps into a new one and copies."""
    return nn.ReLU6() if isinstance(act, nn.ReLU6) else act


class _DepthwiseConv(torch.autograd.Function):
    """A depthwise convolution whose backward is one as well, with the kernel turned round.

    On a CPU PyTorch's own backward is up to six times slower in fp32, and with stride 2 in bf16
    fifty times.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        flipped: Tensor,
        bias: Tensor,
        stride: int,
        around: tuple[int, int, int, int],
    ) -> Tensor:
        """[n, c, h / stride, w / stride], channels last."""
        ctx.save_for_backward(flipped)
        ctx.stride, ctx.around, ctx.size = stride, around, x.shape[-2:]
        left, right, top, bottom = around
        groups = x.shape[1]
        if left == right and top == bottom:
            return F.conv2d(x, weight, bias, stride, (top, left), 1, groups)
        return F.conv2d(F.pad(x, around), weight, bias, stride, 0, 1, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """At the input alone."""
        (flipped,) = ctx.saved_tensors
        k, stride = flipped.shape[-1], ctx.stride
        left, right, top, bottom = ctx.around
        groups = grad.shape[1]
        if stride == 1 and left == right < k and top == bottom < k:
            seen = F.conv2d(grad, flipped, None, 1, (k - 1 - top, k - 1 - left), 1, groups)
        else:
            height, width = ctx.size
            rows, columns = _phases(height, k, stride, top), _phases(width, k, stride, left)
            seen = grad.new_zeros(len(grad), height, width, groups).permute(0, 3, 1, 2)
            for row in rows:
                for column in columns:
                    part = flipped[..., row.taps, column.taps]
                    reach = part.shape[2] - 1, part.shape[3] - 1
                    full = F.conv2d(grad, part, None, 1, reach, 1, groups)
                    full = full[..., row.skipped :, column.skipped :]
                    place = seen[..., row.first :: stride, column.first :: stride]
                    h, w = min(full.shape[2], place.shape[2]), min(full.shape[3], place.shape[3])
                    place[..., :h, :w] = full[..., :h, :w]
        return seen, None, None, None, None, None

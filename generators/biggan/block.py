"""The residual block of BigGAN-deep, whose conditional batch norms are x·a + b."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Block(nn.Module):
    """A residual block (Brock et al., figure 16).

    Args:
        block: the package's, with its spectral norms divided out.
        row: of the stored batch-norm statistics.
        dtype: of the convolutions.
    """

    condition: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, block: Any, row: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.up = block.up_sample
        norms = [block.bn_0, block.bn_1, block.bn_2, block.bn_3]
        convs = [block.conv_0, block.conv_1, block.conv_2, block.conv_3]
        # with the channels last a CPU takes half the time of channels first
        self.convs = nn.ModuleList(convs).to(dtype).to(memory_format=torch.channels_last)
        # all scales, then all offsets, from one product
        linears = [norm.scale for norm in norms] + [norm.offset for norm in norms]
        self.register_buffer("condition", torch.cat([linear.weight for linear in linears]))
        self.sizes = [norm.num_features for norm in norms]
        parts = [affine(norm, row) for norm in norms]
        self.register_buffer("scale", torch.cat([scale for scale, _ in parts]))
        self.register_buffer("shift", torch.cat([shift for _, shift in parts]))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', H', W'], by a condition [B, 256] in float32."""
        gain, offset = F.linear(condition, self.condition).chunk(2, 1)
        # ((x - mean) / std) · (1 + gain) + offset, where scale = 1 / std and shift = -mean / std
        scale = self.scale * (1 + gain)
        shift = self.shift * (1 + gain) + offset
        kept = x
        for number, (a, b, conv) in enumerate(
            zip(scale.split(self.sizes, 1), shift.split(self.sizes, 1), self.convs, strict=True)
        ):
            x = modulated(x, a, b)
            if number == 1 and self.up:
                x = F.interpolate(x, scale_factor=2)
            x = conv(x)
        out: Tensor = _Skip.apply(x, kept, self.up)
        return out


def affine(norm: Any, row: int) -> tuple[Tensor, Tensor]:
    """Scale and shift [C] that stand for the stored statistics of a batch norm."""
    scale = (norm.running_vars[row] + norm.eps).rsqrt()
    return scale, -norm.running_means[row] * scale


def modulated(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """ReLU of x·a + b.

    Args:
        x: [B, C, H, W] in any precision, which the result has as well.
        a: [B, C] float32.
        b: [B, C] float32.
    """
    if len(x) > 1 or x.is_cuda:
        return F.relu(torch.addcmul(b[..., None, None], x, a[..., None, None])).to(x.dtype)
    # batch norm with mean 0 and variance 1 does the same without float32 copies of x; PyTorch 2.11
    # refuses an epsilon of 0, and one plus the least float is one
    plain = torch.zeros_like(a[0]), torch.ones_like(a[0])
    return F.relu_(F.batch_norm(x, *plain, a[0], b[0], eps=torch.finfo(a.dtype).tiny))


class _Skip(torch.autograd.Function):
    """x + kept, where `kept` loses its last channels and doubles its sides if `up`.

    `x` becomes the sum; neither the doubled nor the shortened `kept` is ever in memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, up: bool) -> Tensor:
        """[B, C, H, W]."""
        ctx.up, ctx.channels = up, kept.shape[1]
        short = kept[:, : x.shape[1]]
        if up:
            height, width = kept.shape[2:]
            x.unflatten(3, (width, 2)).unflatten(2, (height, 2)).add_(short[:, :, :, None, :, None])
        else:
            x.add_(short)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        """At `x` and at `kept`."""
        (grad,) = grads
        pulled = F.avg_pool2d(grad, 2, divisor_override=1) if ctx.up else grad
        missing = ctx.channels - pulled.shape[1]
        if missing:  # channels last, so that memory is filled in one go
            pulled = F.pad(pulled.permute(0, 2, 3, 1), (0, missing)).permute(0, 3, 1, 2)
        return grad, pulled, None

"""open_clip's ViT on flattened tokens."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# x·sigmoid(k·x) = silu(k·x) / k: one kernel, with k moved into the layers before and behind
_QUICK = 1.702
# Longer sequences than this take the kernel that never holds all weights of attention.
_LONG = 600


class FlatViT(nn.Module):
    """A plain ViT whose tokens are rows of one matrix [n·L, d].

    open_clip's attention projects 3-D tensors; the backward of that copies the weight once per
    image, more than half of all time on a CPU. Here every projection is one product of two
    matrices, patches are cut by a view instead of a convolution (whose backward took ten times as
    long), and the last block computes the class token alone where nothing else is read.

    Args:
        visual: as `clip_speed.is_plain_vit` accepts it.
        device: where it computes.
        precision: of the matrix products. The residual stream, layer norm and the last projection
            are float32 on a CPU, where that costs nothing.

    Source: Dosovitskiy et al. 2020 (arXiv:2010.11929); Radford et al. 2021 (arXiv:2103.00020).
    """

    cut: Tensor
    cut_bias: Tensor | None
    first: Tensor
    place: Tensor

    def __init__(self, visual: Any, *, device: torch.device, precision: torch.dtype) -> None:
        super().__init__()
        self.preprocess_cfg = visual.preprocess_cfg
        self.precision = precision
        self.stream = torch.float32 if device.type == "cpu" else precision
        weight = visual.conv1.weight
        self.patch = tuple(weight.shape[-2:])
        bias = visual.conv1.bias
        self.register_buffer("cut", weight.detach().flatten(1).to(precision))
        self.register_buffer("cut_bias", None if bias is None else bias.detach().to(precision))
        place = visual.positional_embedding.detach()
        self.register_buffer("first", (visual.class_embedding.detach() + place[0]).to(self.stream))
        self.register_buffer("place", place[1:].to(self.stream))
        self.ln_pre: nn.Module = visual.ln_pre.to(self.stream)
        self.class_only = visual.pool_type == "tok"
        self.norm_first = not visual.final_ln_after_pool
        blocks = [
            FlatBlock(block, device=device, precision=precision, stream=self.stream)
            for block in visual.transformer.resblocks
        ]
        self.blocks = nn.ModuleList(blocks[:-1])
        self.last = blocks[-1]
        self.ln_post: nn.Module = visual.ln_post
        self.proj: nn.Parameter | None = visual.proj

    def forward(self, images: Tensor) -> Tensor:
        """Features [n, d'], float32, of normalised images [n, 3, H, W]."""
        n = len(images)
        with torch.autocast(images.device.type, enabled=False):
            tokens = self._tokens(images)
            length = tokens.shape[1]
            x = tokens.flatten(0, 1)
            for block in self.blocks:
                x = block(x, n, length)
            x = self.last.first_only(x, n, length) if self.class_only else self.last(x, n, length)
            x = x.float()
            if not self.class_only:
                x = x.view(n, length, -1)
                # the mean leaves out the class token
                x = (self.ln_post(x) if self.norm_first else x)[:, 1:].mean(1)
            if self.class_only or not self.norm_first:
                x = self.ln_post(x)
            return x if self.proj is None else x @ self.proj

    def _tokens(self, images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        high, wide = self.patch
        rows, columns = height // high, width // wide
        images = images.to(self.precision)[..., : rows * high, : columns * wide]
        pieces = images.reshape(n, channels, rows, high, columns, wide).permute(0, 2, 4, 1, 3, 5)
        x = F.linear(pieces.reshape(n * rows * columns, -1), self.cut, self.cut_bias)
        x = x.view(n, rows * columns, -1).to(self.stream) + self.place
        x = torch.cat([self.first.expand(n, 1, -1), x], 1)
        seen: Tensor = self.ln_pre(x)
        return seen


class FlatBlock(nn.Module):
    """Attention and MLP with their residuals; layer scale is folded into the weights."""

    qkv_weight: Tensor
    qkv_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    widen_weight: Tensor
    widen_bias: Tensor
    narrow_weight: Tensor
    narrow_bias: Tensor

    def __init__(
        self, block: Any, *, device: torch.device, precision: torch.dtype, stream: torch.dtype
    ) -> None:
        super().__init__()
        self.precision = precision
        self.heads = block.attn.num_heads
        self.on_cpu = device.type == "cpu"
        self.ln_1: nn.Module = block.ln_1.to(stream)
        self.ln_2: nn.Module = block.ln_2.to(stream)
        out, widen, narrow = block.attn.out_proj, block.mlp.c_fc, block.mlp.c_proj
        quick = not isinstance(block.mlp.gelu, nn.GELU)
        self.approximate = "none" if quick else block.mlp.gelu.approximate
        self.quick = quick
        k = _QUICK if quick else 1.0
        self._keep("qkv", block.attn.in_proj_weight, block.attn.in_proj_bias)
        self._keep("out", *_scaled(out, block.ls_1))
        self._keep("widen", widen.weight * k, widen.bias * k)
        weight, bias = _scaled(narrow, block.ls_2)
        self._keep("narrow", weight / k, bias)

    def _keep(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.register_buffer(f"{name}_weight", weight.detach().to(self.precision).contiguous())
        self.register_buffer(f"{name}_bias", bias.detach().to(self.precision))

    def forward(self, x: Tensor, n: int, length: int) -> Tensor:
        """Rows [n·L, d] to the same."""
        qkv = F.linear(self.ln_1(x).to(self.precision), self.qkv_weight, self.qkv_bias)
        if self.on_cpu and length <= _LONG:
            mixed: Tensor = _Attention.apply(qkv, n, self.heads)
        else:
            q, k, v = qkv.view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self._rest(x, mixed.reshape(x.shape))

    def first_only(self, x: Tensor, n: int, length: int) -> Tensor:
        """The first row of each image, [n, d]: all that the class token's feature needs."""
        d = x.shape[1]
        seen = self.ln_1(x).to(self.precision)
        firsts = seen.view(n, length, d)[:, 0]
        weight, bias = self.qkv_weight, self.qkv_bias
        q = F.linear(firsts, weight[:d], bias[:d]).view(n, self.heads, 1, -1)
        kv = F.linear(seen, weight[d:], bias[d:])
        k, v = kv.view(n, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1)
        return self._rest(x.view(n, length, d)[:, 0], (weights @ v).reshape(n, d))

    def _rest(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + F.linear(mixed, self.out_weight, self.out_bias)
        h = F.linear(self.ln_2(x).to(self.precision), self.widen_weight, self.widen_bias)
        h = F.silu(h) if self.quick else F.gelu(h, approximate=self.approximate)
        return x + F.linear(h, self.narrow_weight, self.narrow_bias)


def _scaled(layer: nn.Linear, scale: nn.Module) -> tuple[Tensor, Tensor]:
    gamma = getattr(scale, "gamma", None)
    if gamma is None:
        return layer.weight, layer.bias
    return layer.weight * gamma[:, None], layer.bias * gamma


class _Attention(torch.autograd.Function):
    """Softmax attention over packed rows [n·L, 3·d], as products of batches of matrices.

    On a CPU the backward of PyTorch's fused kernel is several times slower, in bf16 most of all.
    The weights are computed anew for the backward, so none are kept.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, n: int, heads: int) -> Tensor:
        """[n·L, d]."""
        q, k, v = packed = _unpacked(qkv, n, heads)
        ctx.save_for_backward(packed)
        ctx.n, ctx.heads = n, heads
        mixed = torch.bmm(_weights(q, k), v)
        return mixed.view(n, heads, *mixed.shape[1:]).transpose(1, 2).reshape(len(qkv), -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """At the packed rows."""
        (packed,) = ctx.saved_tensors
        q, k, v = packed
        n, heads, length, width = ctx.n, ctx.heads, q.shape[1], q.shape[2]
        weights = _weights(q, k)
        g = grad.view(n, length, heads, width).transpose(1, 2).reshape(n * heads, length, width)
        out = torch.empty_like(packed)
        torch.bmm(weights.transpose(1, 2), g, out=out[2])
        pulled = torch.bmm(g, v.transpose(1, 2))
        pulled = torch._softmax_backward_data(pulled, weights, -1, weights.dtype)
        pulled.mul_(width**-0.5)
        torch.bmm(pulled, k, out=out[0])
        torch.bmm(pulled.transpose(1, 2), q, out=out[1])
        out = out.view(3, n, heads, length, width).permute(1, 3, 0, 2, 4)
        return out.reshape(n * length, -1), None, None


def _unpacked(qkv: Tensor, n: int, heads: int) -> Tensor:
    """[3, n·heads, L, d / heads]."""
    parts = qkv.view(n, -1, 3, heads, qkv.shape[1] // 3 // heads).permute(2, 0, 3, 1, 4)
    return parts.contiguous().flatten(1, 2)


def _weights(q: Tensor, k: Tensor) -> Tensor:
    product = torch.baddbmm(
        q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5
    )
    return product.softmax(-1)

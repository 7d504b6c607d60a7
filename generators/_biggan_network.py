"""BigGAN-deep folded for optimising its input: the package's own weights, less work for them.

Exact in evaluation mode, up to rounding: spectral norm is divided out once, the statistics of the
batch norms are those of one truncation, the last convolution computes three channels rather than
all of which three are used, and nothing takes a gradient but the input.

Source: Brock, Donahue & Simonyan 2019 (arXiv:1809.11096), appendix B; package
pytorch_pretrained_biggan 0.1.1 (huggingface/pytorch-pretrained-BigGAN).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import remove_spectral_norm

from guidegen.errors import WeightsError
from guidegen.reference_packages import biggan
from guidegen.weights import Stored


def load(model: Stored) -> Any:
    """The package's own BigGAN with these weights, in evaluation mode.

    Raises:
        WeightsError: the weights have changed, or do not fit their config.
    """
    model.check()
    try:
        network = biggan(model.config)
        _check_side(network.config)
        tensors = load_file(model.weights)
    except (
        OSError, SafetensorError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError,
    ) as error:  # fmt: skip
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(
            f"{model.folder} is no BigGAN that can be used: {why}; "
            f"import it again: guidegen models import FILE --name {model.name}"
        ) from None
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    wrong = sorted(wanted.keys() ^ tensors.keys())
    wrong += sorted(n for n in wanted.keys() & tensors.keys() if wanted[n] != tensors[n].shape)
    if wrong:
        raise WeightsError(
            f"{model.weights} does not fit its config: {len(wrong)} tensors are missing, extra or "
            f"of another shape ({', '.join(wrong[:3])})"
        )
    network.load_state_dict(tensors)
    # without this, spectral norm changes the weights at every call
    return network.eval().requires_grad_(False)


def _check_side(config: Any) -> None:
    # the package never looks at it, but we promise it as the pictures' size
    side = 4 * 2 ** sum(bool(up) for up, _, _ in config.layers)
    if config.output_dim != side:
        raise ValueError(f"its layers draw {side} pixels a side, not {config.output_dim}")


class FoldedBigGAN(nn.Module):
    """The generator of a BigGAN-deep at one truncation, with a condition row for each block.

    Args:
        network: the package's BigGAN in evaluation mode; taken apart.
        truncation: which of the stored batch-norm statistics count, 0 to 1; the nearest of them.
    """

    embeddings: nn.Module
    gen_z: nn.Module
    scale: Tensor
    shift: Tensor
    rgb_weight: Tensor
    rgb_bias: Tensor

    def __init__(self, network: Any, truncation: float) -> None:
        super().__init__()
        generator, config = network.generator, network.config
        self.width = int(config.channel_width)
        self.embeddings = network.embeddings
        # the package splits a quotient that float error may put off the whole number: it reads the
        # row above at 0.14, 0.28 and 0.56, the row below at 0.58 and 0.94
        row = round(truncation * (config.n_stats - 1))
        for module in generator.modules():
            if hasattr(module, "weight_orig"):
                remove_spectral_norm(module)
        generator.requires_grad_(False)  # the folded weights are new parameters
        self.gen_z = generator.gen_z
        self.blocks = nn.ModuleList(
            _Block(layer, row) if hasattr(layer, "bn_0") else layer for layer in generator.layers
        )
        self.rows = 1 + sum(isinstance(block, _Block) for block in self.blocks)
        scale, shift = _affine(generator.bn, row)
        self.register_buffer("scale", generator.bn.weight * scale)
        self.register_buffer("shift", generator.bn.weight * shift + generator.bn.bias)
        last = generator.conv_to_rgb
        self.register_buffer("rgb_weight", last.weight[:3].clone())
        self.register_buffer("rgb_bias", last.bias[:3].clone())

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1].

        Args:
            z: [B, L, 128]; row 0 feeds the first linear layer, row i the i-th block.
            classes: [B, L, 1000] class vectors; a one-hot row is that class.
        """
        condition = torch.cat([z, self.embeddings(classes)], 2)
        x = self.gen_z(condition[:, 0]).view(-1, 4, 4, 16 * self.width)
        x = x.permute(0, 3, 1, 2).contiguous()  # weights are TensorFlow's, channels last
        row = 1
        for block in self.blocks:
            if isinstance(block, _Block):
                x = block(x, condition[:, row])
                row += 1
            else:
                x = block(x)
        x = F.relu(x * self.scale.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1))
        return torch.tanh(F.conv2d(x, self.rgb_weight, self.rgb_bias, padding=1))


class _Block(nn.Module):
    """A residual block (Brock et al., figure 16) whose conditional batch norms are x·a + b."""

    condition: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, block: Any, row: int) -> None:
        super().__init__()
        self.up, self.drop = block.up_sample, block.drop_channels
        norms = [block.bn_0, block.bn_1, block.bn_2, block.bn_3]
        self.convs = nn.ModuleList([block.conv_0, block.conv_1, block.conv_2, block.conv_3])
        # all scales, then all offsets, from one product
        linears = [norm.scale for norm in norms] + [norm.offset for norm in norms]
        self.register_buffer("condition", torch.cat([linear.weight for linear in linears]))
        self.sizes = [norm.num_features for norm in norms]
        parts = [_affine(norm, row) for norm in norms]
        self.register_buffer("scale", torch.cat([scale for scale, _ in parts]))
        self.register_buffer("shift", torch.cat([shift for _, shift in parts]))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, offset = F.linear(condition, self.condition).chunk(2, 1)
        # ((x - mean) / std) · (1 + gain) + offset, where scale = 1 / std and shift = -mean / std
        scale = self.scale * (1 + gain)
        shift = self.shift * (1 + gain) + offset
        kept = x
        for number, (a, b, conv) in enumerate(
            zip(scale.split(self.sizes, 1), shift.split(self.sizes, 1), self.convs, strict=True)
        ):
            x = F.relu(torch.addcmul(b[..., None, None], x, a[..., None, None]))
            if number == 1 and self.up:
                x = F.interpolate(x, scale_factor=2)
            x = conv(x)
        if self.drop:
            kept = kept[:, : kept.shape[1] // 2]
        if self.up:
            kept = F.interpolate(kept, scale_factor=2)
        return x + kept


def _affine(norm: Any, row: int) -> tuple[Tensor, Tensor]:
    """Scale and shift [C] that stand for the stored statistics."""
    scale = (norm.running_vars[row] + norm.eps).rsqrt()
    return scale, -norm.running_means[row] * scale


def rows_of(config: Mapping[str, Any]) -> int:
    """L: one row for the first layer and one for each block."""
    return 1 + len(config["layers"])

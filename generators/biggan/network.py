"""BigGAN-deep folded for optimising its input: the package's own weights, less work for them.

Exact in evaluation mode, up to rounding: spectral norm is divided out once, the statistics of the
batch norms are those of one truncation, the last convolution computes three channels rather than
all of which three are used, weights are cast once, channels come last, and nothing takes a gradient
but the input.

Source: Brock, Donahue & Simonyan 2019 (arXiv:1809.11096), appendix B; package
pytorch_pretrained_biggan 0.1.1 (huggingface/pytorch-pretrained-BigGAN).
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import remove_spectral_norm

from generators.biggan.block import Block, affine, modulated
from guidegen.errors import WeightsError
from guidegen.precision import Arithmetic
from guidegen.weights.fit import require_fit
from guidegen.weights.reference import biggan
from guidegen.weights.store import Stored


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
            "import it again: guidegen models import"
        ) from None
    require_fit(model.weights, tensors, {k: v.shape for k, v in network.state_dict().items()})
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
        dtype: of convolutions and attention; linear layers, class embedding and what modulates the
            channels are float32.
    """

    embeddings: nn.Module
    gen_z: nn.Module
    scale: Tensor
    shift: Tensor
    rgb_weight: Tensor
    rgb_bias: Tensor

    def __init__(self, network: Any, truncation: float, dtype: torch.dtype = torch.float32) -> None:
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
            Block(layer, row, dtype) if hasattr(layer, "bn_0") else layer.to(dtype)
            for layer in generator.layers
        )
        self.rows = 1 + sum(isinstance(block, Block) for block in self.blocks)
        scale, shift = affine(generator.bn, row)
        self.register_buffer("scale", generator.bn.weight * scale)
        self.register_buffer("shift", generator.bn.weight * shift + generator.bn.bias)
        last = generator.conv_to_rgb
        self.register_buffer("rgb_weight", last.weight[:3].to(dtype, copy=True))
        self.register_buffer("rgb_bias", last.bias[:3].to(dtype, copy=True))

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1], float32.

        Args:
            z: [B, L, 128]; row 0 feeds the first linear layer, row i the i-th block.
            classes: [B, L, 1000] class vectors; a one-hot row is that class.
        """
        condition = torch.cat([z, self.embeddings(classes)], 2)
        x = self.gen_z(condition[:, 0]).view(-1, 4, 4, 16 * self.width)
        # TensorFlow's weights give channels last
        x = x.permute(0, 3, 1, 2).to(self.rgb_weight.dtype)
        row = 1
        for block in self.blocks:
            if isinstance(block, Block):
                x = block(x, condition[:, row])
                row += 1
            else:
                x = block(x)
        x = modulated(x, self.scale[None], self.shift[None])
        return torch.tanh(F.conv2d(x, self.rgb_weight, self.rgb_bias, padding=1).to(z.dtype))


def workload(network: Any, device: torch.device, choice: Arithmetic) -> Callable[[], object]:
    """One run, forward and backward, of a block at about a quarter of the side.

    Args:
        network: the package's BigGAN; left as it is.
        device: where to compute.
        choice: the arithmetic.
    """
    blocks = [layer for layer in network.generator.layers if hasattr(layer, "bn_0")]
    number = len(blocks) - 4 if len(blocks) > 4 else 0
    side = 4 * 2 ** sum(bool(block.up_sample) for block in blocks[:number])
    layer = copy.deepcopy(blocks[number])
    for module in layer.modules():
        if hasattr(module, "weight_orig"):
            remove_spectral_norm(module)
    block = Block(layer.requires_grad_(False), 0, choice.dtype).to(device)
    shape = (1, layer.conv_0.in_channels, side, side)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=rng).to(device, choice.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    condition = torch.zeros(1, block.condition.shape[1], device=device)

    def run() -> None:
        block(x.detach().requires_grad_(), condition).float().sum().backward()

    return run

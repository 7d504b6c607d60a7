"""taming-transformers' encoder, decoder and quantiser, filled from a checkpoint and frozen."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from taming.modules.diffusionmodules.model import AttnBlock, ResnetBlock
from torch import Tensor, nn

from generators.vqgan.group_norm import group_norm
from guidegen.errors import WeightsError
from guidegen.precision import Arithmetic, autocast
from guidegen.weights.fit import require_fit
from guidegen.weights.reference import TamingVQGAN
from guidegen.weights.store import Stored


class VQModules(TamingVQGAN):
    """taming's parts, of a model that pictures can be encoded with.

    Attributes:
        factor: pixels of a side of the picture to one of the grid.
        width: channels of the decoder at the picture's size.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        dd = config["ddconfig"]
        if self.gumbel and config["embed_dim"] != dd["z_channels"]:
            raise ValueError("a GumbelVQ whose embed_dim is not its z_channels can't encode")
        if dd.get("double_z", False):
            raise ValueError("double_z is on: that is a KL autoencoder and no VQGAN")
        self.factor = 2 ** (len(dd["ch_mult"]) - 1)
        self.width = int(dd["ch"] * dd["ch_mult"][0])

    def cast(self, dtype: torch.dtype) -> "VQModules":
        """Convolutions that work under autocast in its precision, which keeps no casts of its own.

        The quantiser stays float32.
        """
        for part in (self.encoder, self.quant_conv, self.post_quant_conv, self.decoder):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    module.to(dtype)
        return self


def load(stored: Stored) -> VQModules:
    """The modules of a stored model: strict, frozen, in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: its file has changed, or does not fit its config.
    """
    stored.check()
    try:
        # on the meta device nothing is drawn at random that the file replaces anyway
        with torch.device("meta"):
            modules = VQModules(stored.config)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError) as e:
        reason = " ".join(str(e).split())[:160]
        raise WeightsError(
            f"the config of {stored.name} is no VQGAN's ({type(e).__name__}: {reason}); "
            "import it again: guidegen models import"
        ) from None
    try:
        state = load_file(stored.weights)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"can't read {stored.weights}: {error}") from None
    require_fit(stored.weights, state, {k: v.shape for k, v in modules.state_dict().items()})
    modules.load_state_dict({k: v.float() for k, v in state.items()}, strict=True, assign=True)
    modules.eval().requires_grad_(False)
    for module in modules.modules():
        _quicken(module)
    return modules


def workload(modules: VQModules, device: torch.device, choice: Arithmetic) -> Callable[[], object]:
    """One run, forward and backward, of a residual block of the decoder on 64 x 64 pixels.

    Args:
        modules: left as they are.
        device: where to compute.
        choice: the arithmetic.
    """
    decoder: Any = modules.decoder
    block = copy.deepcopy(decoder.up[0].block[-1])
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            module.to(choice.dtype)
    block = block.to(device).to(memory_format=torch.channels_last)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, modules.width, 64, 64, generator=rng)
    x = x.to(device, choice.dtype, memory_format=torch.channels_last)

    def run() -> None:
        with autocast(device, choice.dtype):
            out = block(x.detach().requires_grad_(), None)
        out.float().sum().backward()

    return run


def _quicken(module: Any) -> None:
    if isinstance(module, AttnBlock):
        module.forward = partial(_attend, module)
    elif isinstance(module, ResnetBlock):
        module.forward = partial(_residual, module)
    elif isinstance(module, nn.GroupNorm):
        module.forward = partial(group_norm, module)  # type: ignore[method-assign]


def _attend(block: Any, x: Tensor) -> Tensor:
    """The forward of taming's `AttnBlock` without its matrix of h·w x h·w weights.

    At 1024 px and f = 8 that matrix alone takes 1 GiB, and once more for its gradient.
    """
    h = block.norm(x)
    # [B, 1, h·w, C]: one head
    q, k, v = (part(h).flatten(2).mT.unsqueeze(1) for part in (block.q, block.k, block.v))
    mixed = F.scaled_dot_product_attention(q, k, v)
    out: Tensor = x + block.proj_out(mixed.squeeze(1).mT.reshape(x.shape))
    return out


def _residual(block: Any, x: Tensor, temb: None) -> Tensor:
    """The forward of taming's `ResnetBlock` with swish as one kernel, and without dropout."""
    h = block.conv1(F.silu(block.norm1(x)))
    h = block.conv2(F.silu(block.norm2(h)))
    if block.in_channels != block.out_channels:
        x = block.conv_shortcut(x) if block.use_conv_shortcut else block.nin_shortcut(x)
    out: Tensor = x + h
    return out

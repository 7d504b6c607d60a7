"""A small VQGAN of taming-transformers' own modules, and its file: taming's keys, nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from guidegen.errors import WeightsError
from guidegen.weights.fit import require_fit
from guidegen.weights.reference import TamingVQGAN
from guidegen.weights.store import CONFIG, MODEL, SOURCE, sha256_file

# Little at full resolution, where a CPU is slow. taming's GroupNorm has 32 groups: with 32 channels
# each would be normalised by itself, and the colour of a plain picture lost before the last layer.
SMALL: dict[str, Any] = {
    "double_z": False, "z_channels": 64, "resolution": 128, "in_channels": 3, "out_ch": 3,
    "ch": 64, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip


class VQGAN(TamingVQGAN):
    """Encoder, quantiser and decoder under the names that taming's `VQModel` gives them.

    Args:
        ddconfig: of taming's `Encoder` and `Decoder`.
        n_embed: entries of the codebook.
        embed_dim: their length.
    """

    def __init__(self, ddconfig: dict[str, Any], *, n_embed: int, embed_dim: int) -> None:
        self.config: dict[str, Any] = {
            "kind": "VQModel", "embed_dim": embed_dim, "n_embed": n_embed, "ddconfig": ddconfig,
        }  # fmt: skip
        super().__init__(self.config)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct pictures through the codebook.

        Args:
            images: RGB [n, 3, H, W] in [0, 1].

        Returns:
            Reconstruction [n, 3, H, W], not clamped, and the codes used, int [n * h * w].
        """
        z = self.quant_conv(self.encoder(images * 2 - 1))
        quantised, _, (_, _, codes) = self.quantize(z)
        return (self.decoder(self.post_quant_conv(quantised)) + 1) / 2, codes


@torch.no_grad()
def decorrelate(models: Sequence[TamingVQGAN], z: Tensor, *, power: float) -> Tensor:
    """Turn latents to their principal axes, and scale them to a mean deviation of 1.

    What is decoded stays. A `power` below 1 lessens how much the axes differ, so that fewer of a
    codebook's entries tell the mean colours of cells, which vary most, and more tell shapes.

    Args:
        models: weights in one basis, changed in place: a model, and averages of it.
        z: encoder outputs of the first, [N, C].
        power: what each axis's deviation is raised to before that.

    Returns:
        What the encoder says in the new basis in place of `z`.
    """
    mean = z.mean(0)
    variance, axes = torch.linalg.eigh(torch.cov(z.double().T))
    deviation = variance.clamp(min=1e-10).sqrt()
    gain = deviation ** (power - 1)
    gain = gain / (gain * deviation).mean()
    into = (axes * gain).T.to(z.dtype)
    back = (axes / gain).to(z.dtype)
    for model in models:
        before, after = model.quant_conv, model.post_quant_conv
        assert before.bias is not None
        assert after.bias is not None
        before.bias.copy_(into @ (before.bias - mean))
        before.weight.copy_(torch.einsum("ij,jkhw->ikhw", into, before.weight))
        after.bias.add_(after.weight[:, :, 0, 0] @ mean)
        after.weight.copy_(torch.einsum("ijhw,jk->ikhw", after.weight, back))
    turned: Tensor = (z - mean) @ into.T
    return turned


def load(folder: Path) -> VQGAN:
    """The float32 model of a folder that `save` wrote.

    Raises:
        WeightsError: there is none, or its files do not fit each other.
    """
    path = folder / MODEL
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = VQGAN(config["ddconfig"], n_embed=config["n_embed"], embed_dim=config["embed_dim"])
        state = load_file(path)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WeightsError(
            f"{folder}: no VQGAN that this command wrote ({type(error).__name__}: {error}); "
            f"it needs {CONFIG} and {MODEL}"
        ) from error
    require_fit(path, state, {name: tensor.shape for name, tensor in model.state_dict().items()})
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model


def save(model_state: dict[str, Tensor], config: dict[str, Any], folder: Path) -> str:
    """Write `model.safetensors` and `config.json`, each whole or not at all.

    Returns:
        SHA-256 of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{MODEL}.new"
    # as half precision: half the size, and no difference that a picture shows
    save_file({k: v.detach().contiguous().half().cpu() for k, v in model_state.items()}, new)
    new.chmod(0o644)
    new.replace(folder / MODEL)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return sha256_file(folder / MODEL)


def save_source(folder: Path, **fields: Any) -> None:
    """Write `source.json`: the digest of the weights beside it, and where they come from."""
    source = {"sha256": sha256_file(folder / MODEL), **fields}
    (folder / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def reconstruct(model: VQGAN, images: Tensor, chunk: int = 8) -> tuple[Tensor, Tensor]:
    """Reconstructions in [0, 1] and codes of many pictures, a few at a time, in float32."""
    parts = [model(part) for part in images.split(chunk)]
    return torch.cat([p[0] for p in parts]).clamp(0, 1), torch.cat([p[1] for p in parts])

"""How well a VQGAN reconstructs held-out drawings: figures, and a sheet to look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from PIL import Image
from torch import Tensor

from guidegen.training.data import scenes
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.vqgan.codebook import perplexity, sampled
from guidegen.training.vqgan.model import VQGAN, reconstruct
from guidegen.training.vqgan.scenes import CleanScenes

PICTURES = 64  # of each kind that the figures are taken from


@dataclass(frozen=True)
class Reconstruction:
    """How well pictures come back. l1 in units of [0, 1]; psnr in dB, the mean over pictures."""

    kind: str
    l1: float
    psnr: float
    used: int
    perplexity: float

    def figures(self) -> dict[str, float]:
        """By name."""
        return {k: v for k, v in asdict(self).items() if k != "kind"}

    def __str__(self) -> str:
        return (
            f"{self.kind}: L1 {self.l1:.4f}, PSNR {self.psnr:.2f} dB, "
            f"{self.used} codes used, perplexity {self.perplexity:.0f}"
        )


class Evaluator:
    """Held-out drawings (split `val`), each on white, and in scenes with backgrounds."""

    def __init__(self, data: CaptionedImages, size: int) -> None:
        records = [r for r in data if r.split == "val"][: 8 * PICTURES : 8]
        cutouts = data.images(128, records)
        self.pictures = {
            "val on white": scenes.on_white(torch.from_numpy(cutouts), size),
            "val in scenes": CleanScenes(cutouts, seed=7).batch(0, PICTURES, size),
        }

    def __call__(self, model: VQGAN) -> list[Reconstruction]:
        """Figures of a model in float32."""
        return [self._one(kind, images, model) for kind, images in self.pictures.items()]

    @staticmethod
    def _one(kind: str, images: Tensor, model: VQGAN) -> Reconstruction:
        device = next(model.parameters()).device
        out, codes = reconstruct(model, images.to(device))
        error = out.cpu() - images
        psnr = -10 * error.square().mean((1, 2, 3)).clamp(min=1e-10).log10()
        count = torch.bincount(codes.flatten().cpu(), minlength=int(model.config["n_embed"]))
        used = int(count.gt(0).sum())
        return Reconstruction(
            kind, float(error.abs().mean()), float(psnr.mean()), used, perplexity(count)
        )

    @torch.no_grad()
    def sheet(self, model: VQGAN, columns: int = 8) -> Image.Image:
        """Of each kind a row of pictures and one of their reconstructions; then random codes."""
        weight = model.codebook
        columns = min(columns, *map(len, self.pictures.values()))
        rows = []
        for images in self.pictures.values():
            shown = images[:: max(1, len(images) // columns)][:columns].to(weight.device)
            rows += [shown, reconstruct(model, shown)[0]]
        z = model.quant_conv(model.encoder(rows[-2] * 2 - 1))
        codes = sampled(z, weight, len(z), torch.Generator().manual_seed(0))
        rows.append((model.decoder(model.post_quant_conv(codes)) + 1) / 2)
        wide = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
        pixels = wide.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu()
        return Image.fromarray(pixels.numpy())

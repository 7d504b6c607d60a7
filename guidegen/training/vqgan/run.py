"""The `vqgan` command: data, model, trainer, evaluation and export."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from guidegen.training.data import scenes
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.device import choose
from guidegen.training.vqgan.codebook import perplexity
from guidegen.training.vqgan.loss import PerceptualLoss
from guidegen.training.vqgan.model import SMALL, VQGAN, load, reconstruct, save, save_source
from guidegen.training.vqgan.scenes import CleanScenes
from guidegen.training.vqgan.trainer import VQGANConfig, VQGANTrainer
from guidegen.weights.open_clip_weights import load_folder
from guidegen.weights.store import embedded

log = logging.getLogger(__name__)

SPELLED = (
    "minutes", "early_share", "batch", "lr", "adversarial", "adversarial_from", "scramble",
    "decoder_only", "ema",
)  # fmt: skip
"""Settings that the command line has under the same name."""
PICTURES = 64  # of each kind that the figures are taken from


@dataclass(frozen=True)
class Reconstruction:
    """How well pictures come back. l1 in units of [0, 1]; psnr in dB, the mean over pictures."""

    kind: str
    l1: float
    psnr: float
    used: int
    perplexity: float

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


def run(
    data: Path,
    out: Path,
    *,
    clip_folder: Path | None,
    begin: Path | None = None,
    state_file: Path,
    config: VQGANConfig,
    n_embed: int,
    embed_dim: int,
    evaluate_every: int,
    seed: int,
    device: str,
) -> list[Reconstruction]:
    """See `guidegen.training.image_commands.vqgan` for the arguments."""
    where = choose(device)
    everything = CaptionedImages(data)
    records = [r for r in everything if r.split == "train"]
    source = CleanScenes(everything.images(128, records), seed=seed)
    log.info("%d pictures", len(records))
    perceptual = PerceptualLoss(load_folder(clip_folder or embedded("clip"))[0].visual)
    torch.manual_seed(seed)
    model = load(begin) if begin else VQGAN(SMALL, n_embed=n_embed, embed_dim=embed_dim)
    model = model.to(where)
    trainer = VQGANTrainer(
        model, source.batch, perceptual.to(where), config, state_file=state_file, seed=seed
    )
    evaluator = Evaluator(everything, config.size)
    command = spelled(config, seed=seed, begin=begin, clip=clip_folder)
    return trainer.scored(
        "vqgan", evaluate_every, lambda _: export(trainer, out, evaluator, command)
    )


def spelled(config: VQGANConfig, **arguments: object) -> str:
    """The command line of a training: what is not as by default."""
    named = {"steps": config.steps} | {
        f.name: getattr(config, f.name)
        for f in fields(config)
        if f.name in SPELLED and getattr(config, f.name) != f.default
    }
    named |= {name: value for name, value in arguments.items() if value is not None}
    flags = (f"--{k.replace('_', '-')}" + ("" if v is True else f" {v}") for k, v in named.items())
    return " ".join(["python -m guidegen.training vqgan DATA OUT", *flags])


def export(
    trainer: VQGANTrainer, out: Path, evaluator: Evaluator, command: str
) -> list[Reconstruction]:
    """Write the model folder and log its figures."""
    kept = VQGAN(
        trainer.model.config["ddconfig"],
        n_embed=trainer.model.config["n_embed"],
        embed_dim=trainer.model.config["embed_dim"],
    )
    # what is measured is what the file holds
    kept.load_state_dict({k: v.cpu().half().float() for k, v in trainer.kept_state().items()})
    save(kept.state_dict(), kept.config, out)
    save_source(
        out,
        source="trained by guidegen on drawings of Apache-2.0, MIT and public-domain sources",
        licence="MIT",
        command=command,
        step=trainer.step,
    )
    scores = evaluator(kept.to(trainer.device).eval())
    log.info("step %d: %s", trainer.step, "; ".join(map(str, scores)))
    return scores

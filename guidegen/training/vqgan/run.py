"""The `vqgan` command: data, model, trainer, evaluation and export."""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from pathlib import Path

import torch
from tqdm import tqdm

from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.device import choose
from guidegen.training.vqgan.evaluate import Evaluator, Reconstruction
from guidegen.training.vqgan.loss import PerceptualLoss
from guidegen.training.vqgan.model import SMALL, VQGAN, load, save, save_source
from guidegen.training.vqgan.scenes import CleanScenes
from guidegen.training.vqgan.trainer import VQGANConfig, VQGANTrainer
from guidegen.weights.open_clip_weights import load_folder
from guidegen.weights.store import embedded

log = logging.getLogger(__name__)

SPELLED = (
    "minutes", "plain_steps", "early_share", "batch", "lr", "adversarial", "adversarial_from",
    "noise", "scramble", "sampled", "decoder_only", "spread", "ema",
)  # fmt: skip
"""Settings that the command line has under the same name."""


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
    torch.backends.cudnn.benchmark = True  # every step has the same shapes
    everything = CaptionedImages(data)
    records = [r for r in everything if r.split == "train"]
    reading = tqdm(records, desc="reading", unit="image", mininterval=5)
    source = CleanScenes(everything.images(128, reading), seed=seed, device=where)
    log.info("%d pictures", len(records))
    perceptual = PerceptualLoss(load_folder(clip_folder or embedded("clip"))[0].visual)
    torch.manual_seed(seed)
    model = load(begin) if begin else VQGAN(SMALL, n_embed=n_embed, embed_dim=embed_dim)
    model = model.to(where)
    trainer = VQGANTrainer(
        model, source.batch, perceptual.to(where), config, state_file=state_file, seed=seed
    )
    evaluator = Evaluator(everything, config.size)
    entries = None if begin else n_embed
    command = spelled(config, n_embed=entries, seed=seed, begin=begin, clip=clip_folder)
    return trainer.scored(
        "vqgan", evaluate_every, lambda means: export(trainer, out, evaluator, command, means)
    )


def spelled(config: VQGANConfig, **arguments: object) -> str:
    """The command line of a training: what is not as by default."""
    named = {"steps": config.steps} | {
        f.name: getattr(config, f.name)
        for f in fields(config)
        if f.name in SPELLED and getattr(config, f.name) != f.default
    }
    named |= arguments
    flags = (
        f"--{k.replace('_', '-')}" + ("" if v is True else f" {v}")
        for k, v in named.items()
        if v is not None
    )
    return " ".join(["python -m guidegen.training vqgan DATA OUT", *flags])


def export(
    trainer: VQGANTrainer,
    out: Path,
    evaluator: Evaluator,
    command: str,
    means: dict[str, float],
) -> list[Reconstruction]:
    """Write the model folder, its figures and a sheet of pictures."""
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
    kept = kept.to(trainer.device).eval()
    scores = evaluator(kept)
    evaluator.sheet(kept).save(out / "reconstructions.png")
    line = {
        "step": trainer.step,
        **{k: round(v, 5) for k, v in means.items()},
        **{s.kind: {k: round(v, 4) for k, v in s.figures().items()} for s in scores},
    }
    with (out / "curves.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    told = ", ".join(f"{k} {v:.4f}" for k, v in means.items())
    log.info("step %d: %s\n%s", trainer.step, told, "\n".join(map(str, scores)))
    return scores

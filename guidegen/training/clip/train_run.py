"""The `train` command: data, model, trainer, evaluation and export."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from guidegen.errors import DataError
from guidegen.training.clip import evaluate
from guidegen.training.clip import model as clip
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.clip.tower import adapt_batch_norm
from guidegen.training.clip.trainer import TrainConfig, Trainer
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.device import choose
from guidegen.training.progress import Losses

log = logging.getLogger(__name__)


def start_model(
    text: Path | None,
    image_init: str,
    data: SceneBatches,
    seed: int,
    device: torch.device,
    *,
    tower: str = clip.TOWER,
) -> Any:
    """A model: its text tower from `text`, its image tower from ImageNet or from nothing."""
    torch.manual_seed(seed)
    model = clip.new_model(tower)
    if text is not None:
        clip.load_text_tower(model, text)
    if image_init == "imagenet":
        clip.load_imagenet_trunk(model.visual.trunk, tower)
    elif image_init != "none":
        raise DataError(f"image_init {image_init!r}: use imagenet or none")
    model = model.to(device)
    if image_init == "imagenet":
        model.visual.to(memory_format=torch.channels_last)
        pictures = (data.batch(10**6 + k, 128, 128, device).images for k in range(16))
        adapt_batch_norm(model.visual, pictures)
    return model


def run(
    data: Path,
    out: Path,
    *,
    text: Path | None,
    image_init: str,
    tower: str,
    state_file: Path,
    config: TrainConfig,
    evaluate_every: int,
    seed: int,
    device: str,
) -> list[evaluate.Retrieval]:
    """See `guidegen.training.clip_commands.train` for the arguments."""
    where = choose(device)
    everything = CaptionedImages(data)
    records = [r for r in everything if r.split == "train"]
    cutouts = everything.images(128, tqdm(records, desc="reading", unit="image", mininterval=5))
    source = SceneBatches(cutouts, records, seed=seed)
    log.info("%d pictures of %d concepts", len(records), len(source.bank))
    model = start_model(text, image_init, source, seed, where, tower=tower)
    trainer = Trainer(model, source, config, state_file=state_file)
    evaluator = evaluate.Evaluator(everything)
    scores: list[evaluate.Retrieval] = []
    means: Losses
    for means in trainer.followed("train"):
        if trainer.pace.due(evaluate_every) or trainer.step == config.head_steps:
            clip.save_model(trainer.ema_state(), out, tower=tower)
            scores = score(out, evaluator, where)
            numbers = ", ".join(f"{k} {float(v):.3f}" for k, v in means.items())
            log.info("step %d: %s\n%s", trainer.step, numbers, evaluate.describe(scores))
    if not scores:  # nothing was left to do
        clip.save_model(trainer.ema_state(), out, tower=tower)
        scores = score(out, evaluator, where)
    return scores


def score(
    folder: Path, evaluator: evaluate.Evaluator, device: torch.device
) -> list[evaluate.Retrieval]:
    """Scores of the model in a folder, read back from disk as its users will."""
    model, tokenizer = clip.load_model(folder)
    return evaluator(model.to(device), tokenizer)

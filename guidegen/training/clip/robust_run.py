"""The `robust` command: data, trainer, clean and adversarial evaluation, export."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from guidegen.errors import WeightsError
from guidegen.training.clip import adversarial, evaluate
from guidegen.training.clip import model as clip
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.clip.robust import RobustConfig, RobustTrainer
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.device import choose
from guidegen.weights.open_clip_weights import load_folder

log = logging.getLogger(__name__)


def run(
    data: Path,
    out: Path,
    *,
    start: Path,
    begin: Path | None = None,
    network: str | None = None,
    state_file: Path,
    config: RobustConfig,
    evaluate_every: int,
    seed: int,
    device: str,
    precision: torch.dtype | None = None,
) -> list[evaluate.Retrieval]:
    """See `guidegen.training.clip_commands.robust`; curves go to `out/curves.jsonl`."""
    where = choose(device)
    if precision is None:  # bf16 costs less on a GPU; on a CPU the depthwise kernels lose by it
        precision = torch.bfloat16 if where.type == "cuda" else torch.float32
    model, _ = clip.load_model(start)
    tower = json.loads((start / clip.CONFIG).read_text())["model_cfg"]["vision_cfg"]
    name = tower.get("timm_model_name", "")
    if not name.startswith("tf_efficientnet_lite"):
        raise WeightsError(
            f"{start}: its image tower is no EfficientNet-Lite; start from a model that "
            "`python -m guidegen.training train` made"
        )
    everything = CaptionedImages(data)
    records = [r for r in everything if r.split == "train"]
    cutouts = everything.images(128, tqdm(records, desc="reading", unit="image", mininterval=5))
    source = SceneBatches(cutouts, records, seed=seed, device=where)
    towers: dict[str, Any] = {}
    if begin is not None:
        towers["begin"] = load_folder(begin)[0].visual.to(where)
    if network is not None:
        name = network
        towers["network"] = _new(network, start, seed).to(where)
    trainer = RobustTrainer(
        model.to(where),
        source,
        config,
        state_file=state_file,
        precision=precision,
        **towers,
    )
    evaluator = evaluate.Evaluator(everything, sample=64)
    return trainer.scored(
        "robust",
        evaluate_every,
        lambda means: _save_and_score(trainer, out, name, evaluator, where, means),
    )


def _new(network: str, start: Path, seed: int) -> Any:
    """A model with an untrained image tower of this timm name, and the text tower of `start`."""
    torch.manual_seed(seed)
    try:
        model = clip.new_model(network)
    except RuntimeError as error:
        raise WeightsError(
            f"--network {network}: {error}; `timm.list_models()` has them"
        ) from error
    clip.load_text_tower(model, start)
    return model


def _save_and_score(
    trainer: RobustTrainer,
    out: Path,
    tower: str,
    evaluator: evaluate.Evaluator,
    device: torch.device,
    means: dict[str, float],
) -> list[evaluate.Retrieval]:
    clip.save_model(trainer.averaged_model(), out, tower=tower)
    model, tokenizer = clip.load_model(out)
    model = model.to(device)
    scores = evaluator(model, tokenizer)
    hard = adversarial.retrieval(model, tokenizer, evaluator, draws=1)
    line = {
        "step": trainer.step,
        "size": trainer.config.size(trainer.pace.before),
        "eps": round(trainer.config.radius(trainer.pace.before), 3),
        **{k: round(v, 4) for k, v in means.items()},
        **{f"{s.split}-top1": round(s.top1, 4) for s in scores},
        **{f"{s.split}-top5": round(s.top5, 4) for s in scores},
        "adversarial-top1": round(hard.top1, 4),
    }
    with (out / "curves.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    log.info("step %d: %s\n%s\n%s", trainer.step, line, evaluate.describe(scores), hard)
    return [*scores, hard]

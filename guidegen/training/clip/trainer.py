"""Image training: the head first, then the late stages, against a frozen text tower."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from guidegen.training.average import WarmAverage
from guidegen.training.clip import model as clip
from guidegen.training.clip import objective, tower
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.loop import SteppedTraining
from guidegen.training.pace import Pace
from guidegen.training.progress import Losses
from guidegen.training.schedule import warmup_cosine


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, how fast, and what.

    steps, head_steps: all steps, and how many of them at first train the projections only.
    batch, size: pictures a step, and their side in pixels; `early_size` in the
        first `early_share` of the steps.
    unfreeze_from: first trainable stage of the tower, 0 (stem) to 8 (last convolution).
    lr, head_lr: peak learning rates of the tower and of the projections.
    pretrained: the tower starts from ImageNet; batch-norm statistics and depthwise kernels stay.
    train_text: train the text tower, too (when it does not come from `distil`).
    """

    steps: int
    head_steps: int
    batch: int = 128
    size: int = 128
    early_size: int = 96
    early_share: float = 0.7
    unfreeze_from: int = 4
    lr: float = 4e-4
    head_lr: float = 2e-3
    weight_decay: float = 0.02
    bank_weight: float = 1.0
    ema: float = 0.998
    pretrained: bool = True
    train_text: bool = False
    save_every: int = 200


class Trainer(SteppedTraining):
    """Trains `model` in place; `ema_state` is what to evaluate and to keep.

    Args:
        model: an open_clip CLIP, on its device.
        data: source of batches.
        config: see `TrainConfig`.
        state_file: where the training state is kept; training goes on from it if it exists.
    """

    config: TrainConfig

    def __init__(
        self, model: Any, data: SceneBatches, config: TrainConfig, *, state_file: Path
    ) -> None:
        self.model, self.data, self.config, self.state_file = model, data, config, state_file
        self.pace = Pace(config.steps)
        self.device: torch.device = model.text_projection.device
        self.tokenizer = clip.new_tokenizer()
        self.trained = tower.Trained(model, text=config.train_text)
        model.requires_grad_(False)
        self.trained.requires_grad_(True)
        model.visual.to(memory_format=torch.channels_last)
        model.visual.train(not config.pretrained)
        late = tower.stages(model.visual.trunk)[config.unfreeze_from :]
        self.kernels = tower.depthwise(late)
        tower.run_in_float32(self.kernels)
        self.optimizer = torch.optim.AdamW(
            self._groups(), betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.schedule = LambdaLR(self.optimizer, [self._tower_factor, self._head_factor])
        self.ema = WarmAverage(self.trained, config.ema)
        self.bank = self._bank()
        self.bank_targets = self._bank_targets()
        self.step = self._resume()
        self._phase: int | None = None  # the first stage that is trained, once a step was made

    def _train_step(self) -> Losses:
        config = self.config
        first = config.unfreeze_from if self.step >= config.head_steps else tower.LAST + 1
        if first != self._phase:
            self._freeze_before(first)
            self._phase = first
        early = self.step < config.early_share * config.steps
        size = config.early_size if early else config.size
        losses = self._losses(self.step, size, first)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.trained.parameters(), 5.0)
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            self.trained.logit_scale.clamp_(max=4.6052)  # a temperature of 0.01, as in CLIP
        self.ema.update_parameters(self.trained)
        return {k: v.detach() for k, v in losses.items()}

    def ema_state(self) -> dict[str, Tensor]:
        """State dict of the whole model with the averaged weights."""
        return {**self.model.state_dict(), **self.ema.module.state_dict()}

    def _losses(self, step: int, size: int, first: int) -> dict[str, Tensor]:
        batch = self.data.batch(step, self.config.batch, size, self.device)
        rows = [i for i, text in enumerate(batch.wrong) if text]
        texts = batch.texts + [text for text in batch.wrong if text]
        tokens = clip.tokenize(self.tokenizer, texts).to(self.device)
        image = F.normalize(tower.features(self.trained.visual, batch.images, first), dim=-1)
        text = self._project(self._text_trunk(tokens))
        text, wrong = text[: len(batch.texts)], text[len(batch.texts) :]
        scale = self.trained.logit_scale.exp()
        losses = {"pairs": objective.contrastive(image, text, batch.concepts, scale)}
        if rows:
            losses["details"] = objective.contradiction(image[rows], text[rows], wrong, scale)
        if self.bank is not None:
            bank = self._project(self.bank)
            losses["bank"] = self.config.bank_weight * objective.bank_loss(
                image, bank, self.bank_targets, batch.concepts, scale
            )
        return losses

    def _project(self, trunk_features: Tensor) -> Tensor:
        return F.normalize(trunk_features @ self.trained.text_projection, dim=-1)

    def _text_trunk(self, tokens: Tensor) -> Tensor:
        with (
            torch.set_grad_enabled(self.config.train_text),
            torch.autocast(self.device.type, dtype=torch.bfloat16),
        ):
            return clip.text_trunk(self.model, tokens).float()

    def _bank(self) -> Tensor | None:
        if self.config.train_text:  # its features would change with every step
            return None
        tokens = clip.tokenize(self.tokenizer, self.data.bank).to(self.device)
        return torch.cat([self._text_trunk(t) for t in torch.split(tokens, 512)])

    def _bank_targets(self) -> Tensor:
        if self.bank is None:
            return torch.empty(0)
        with torch.no_grad():
            return objective.soft_bank_targets(self._project(self.bank))

    def _freeze_before(self, first: int) -> None:
        tower.freeze_before(self.trained.visual, first)
        if self.config.pretrained:
            for kernel in self.kernels:
                kernel.requires_grad_(False)

    def _groups(self) -> list[dict[str, Any]]:
        named = dict(self.trained.named_parameters())
        trunk = [p for n, p in named.items() if n.startswith("visual.trunk.")]
        rest = [p for n, p in named.items() if not n.startswith("visual.trunk.")]
        return [
            {"params": trunk, "lr": self.config.lr},
            {"params": rest, "lr": self.config.head_lr, "weight_decay": 0.0},
        ]

    def _tower_factor(self, step: int) -> float:
        late = max(1, self.config.steps - self.config.head_steps)
        factor = warmup_cosine(late, warmup=min(200, late // 4 + 1))
        return factor(max(0, step - self.config.head_steps))

    def _head_factor(self, step: int) -> float:
        steps = self.config.steps
        return warmup_cosine(steps, warmup=min(50, steps // 4 + 1))(step)

    def _state(self) -> dict[str, Any]:
        return {
            "trained": self.trained, "ema": self.ema,
            "optimizer": self.optimizer, "schedule": self.schedule,
        }  # fmt: skip

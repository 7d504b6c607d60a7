"""Adversarial fine-tuning of the image tower, so that its gradient at the pixels draws.

An ordinary encoder can be moved anywhere by a change that no eye sees, and guided by it pixels end
in noise. A tower that is trained on the worst picture within an L2 ball has to look at shapes, and
its gradient shows them. The text tower stays frozen.

Sources: Santurkar et al. 2019, arXiv:1906.09453; Ganz & Elad 2023, CLIPAG, arXiv:2306.16805;
Schlarmann et al. 2024, FARE, arXiv:2402.12336 (stay near the clean picture's original embedding).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from guidegen.clip.fused_cnn import NHWCEfficientNet
from guidegen.training.average import WarmAverage
from guidegen.training.clip import model as clip
from guidegen.training.clip import objective
from guidegen.training.clip.attack import l2_attack
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.clip.encoded import Batches, EncodedBatch, EncodedBatches, PreparedBatches
from guidegen.training.clip.mixtures import mixtures
from guidegen.training.clip.network_tower import NetworkTower
from guidegen.training.clip.robust_tower import RobustTower
from guidegen.training.loop import SteppedTraining
from guidegen.training.pace import Pace
from guidegen.training.progress import Losses
from guidegen.training.schedule import paced


@dataclass(frozen=True, kw_only=True)
class RobustConfig:
    """How long, at which sizes, against which attack.

    steps: optimiser steps in all.
    minutes: the time after which training stops; `steps` is then only what the schedules, which
        follow the time, are counted in.
    sizes: side of the pictures in pixels, rising; each holds for a part of the steps as `shares`
        says, with `batch` pictures at the first and as many pixels a step afterwards.
    eps: L2 radius of the attack on a picture of 128 px in [0, 1]; in proportion to the side
        elsewhere, which is the same contrast. Each picture's own is a quarter to all of it.
    eps_warmup: steps over which eps rises from an eighth.
    attack_steps: gradient steps of the attack; `late_attack_steps` at the last size.
    lr: peak learning rate of AdamW.
    texts: captions that are drawn and encoded once for the whole training; 0 draws new ones for
        every batch.
    processes: that tokenize those captions.
    mixed: pictures without a caption, made of two each, for each picture with one; FARE alone
        looks at them.
    scale: inverse temperature of the softmaxes.
    fare: weight of 1 - cos to what the tower said of the clean picture before training.
    """

    steps: int = 6000
    minutes: float | None = None
    sizes: tuple[int, ...] = (64, 96, 128)
    shares: tuple[float, ...] = (0.6, 0.25, 0.15)
    batch: int = 128
    eps: float = 1.25
    eps_warmup: int = 350
    attack_steps: int = 1
    late_attack_steps: int = 2
    lr: float = 5e-4
    mixed: float = 0.0
    texts: int = 0
    processes: int = 1
    weight_decay: float = 0.01
    scale: float = 20.0
    fare: float = 5.0
    ema: float = 0.998
    save_every: int = 100

    def size(self, step: float) -> int:
        """Side of the pictures of a step."""
        done = 0.0
        for size, share in zip(self.sizes, self.shares, strict=True):
            done += share
            if step < done * self.steps:
                return size
        return self.sizes[-1]

    def pictures(self, step: float) -> int:
        """How many pictures a step has, so that it costs what a step of the first size does."""
        return max(8, round(self.batch * (self.sizes[0] / self.size(step)) ** 2))

    def radius(self, step: float) -> float:
        """The largest L2 radius of a step, for its size."""
        rise = min(1.0, 0.125 + 0.875 * step / max(1, self.eps_warmup))
        return self.eps * rise * self.size(step) / 128


class RobustTrainer(SteppedTraining):
    """Trains an image tower for `model`'s texts; `averaged_model()` is what to evaluate and keep.

    Args:
        model: an open_clip CLIP whose image tower is an EfficientNet-Lite, on its device; FARE
            compares with that tower.
        data: source of batches, on the same device.
        config: see `RobustConfig`.
        state_file: where the training state is kept; training goes on from it if it exists.
        begin: an image tower of the same kind to begin with; by default the model's own.
        network: a model with the same text tower and another kind of image tower, which is the one
            that is trained, whole.
        precision: of the tower's arithmetic.
    """

    config: RobustConfig

    def __init__(
        self,
        model: Any,
        data: SceneBatches,
        config: RobustConfig,
        *,
        state_file: Path,
        begin: Any = None,
        network: Any = None,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.config, self.state_file = config, state_file
        self.pace = Pace(config.steps, config.minutes)
        self.device: torch.device = model.text_projection.device
        model.eval().requires_grad_(False)
        self.texts = model
        self.model = model if network is None else network.eval().requires_grad_(False)
        plain: Any = copy.deepcopy(model.visual)  # `averaged_model` overwrites the model's own
        self.original = NHWCEfficientNet(plain, precision=precision).requires_grad_(False)
        kind = RobustTower if network is None else NetworkTower
        self.tower = kind(self.model.visual if begin is None else begin, precision=precision)
        cuda = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.tower.parameters(), lr=config.lr, betas=(0.9, 0.98),
            weight_decay=config.weight_decay, fused=cuda,
        )  # fmt: skip
        self.schedule = LambdaLR(self.optimizer, paced(self.pace))
        self.average: Any = WarmAverage(self.tower, config.ema, use_buffers=True)
        tokens = clip.tokenize(clip.new_tokenizer(), data.bank).to(self.device)
        self.bank = torch.cat([self._text(part) for part in tokens.split(256)])
        self.bank_targets = objective.soft_bank_targets(self.bank)
        self.data: Batches = (
            PreparedBatches(data, self._text, texts=config.texts, processes=config.processes)
            if config.texts
            else EncodedBatches(data, self._text)
        )
        self.scale = torch.tensor(config.scale, device=self.device)
        self.step = self._resume()

    def averaged_model(self) -> Any:
        """The whole model with the averaged tower in it."""
        self.average.module.write_into(self.model.visual)
        return self.model

    def _train_step(self) -> Losses:
        """One step; its losses, and its share of right answers."""
        step, now, config = self.step, self.pace.now, self.config
        size, n = config.size(now), config.pictures(now)
        batch = self.data(10**5 + step, n, size)
        rng = torch.Generator(self.device)
        rng.manual_seed(self.data.source.seed * 1_000_003 + 7 * step + 1)
        images = batch.images
        if extra := round(n * config.mixed):
            images = torch.cat((images, mixtures(images[:extra], rng)))
        with torch.no_grad():
            original = F.normalize(self.original((images - 0.5) / 0.5), dim=-1)
        share = torch.rand(len(images), generator=rng, device=rng.device)
        eps = config.radius(now) * (0.25 + 0.75 * share)
        attack_steps = config.attack_steps
        if size == config.sizes[-1]:
            attack_steps = config.late_attack_steps

        def total(features: Tensor) -> Tensor:
            return torch.stack(list(self._losses(features, batch, original).values())).sum()

        self.tower.eval().requires_grad_(False)
        hard = l2_attack(images, lambda x: total(self.tower(x)), eps, steps=attack_steps, rng=rng)
        self.tower.train().requires_grad_(True)
        features = self.tower(hard)
        losses = self._losses(features, batch, original)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.tower.parameters(), 2.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.tower)
        single = batch.concepts[:, 1] < 0
        right = (features[:n].detach() @ self.bank.T).argmax(dim=1) == batch.concepts[:, 0]
        out = {name: loss.detach() for name, loss in losses.items()}
        return {**out, "top1": (right & single).sum() / single.sum()}

    def _losses(self, features: Tensor, batch: EncodedBatch, original: Tensor) -> dict[str, Tensor]:
        concepts, scale = batch.concepts, self.scale
        told = features[: len(concepts)]  # those with a caption
        return {
            "pairs": objective.contrastive(told, batch.text, concepts, scale),
            "bank": objective.bank_loss(told, self.bank, self.bank_targets, concepts, scale),
            "fare": self.config.fare * (1 - (features * original).sum(dim=1)).mean(),
        }

    @torch.no_grad()
    def _text(self, tokens: Tensor) -> Tensor:
        features = clip.text_trunk(self.texts, tokens).float() @ self.texts.text_projection
        return F.normalize(features, dim=-1)

    def _state(self) -> dict[str, Any]:
        return {
            "tower": self.tower, "average": self.average,
            "optimizer": self.optimizer, "schedule": self.schedule,
        }  # fmt: skip

"""Training of a small VQGAN: an autoencoder first, then its codebook, resumable at any step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from guidegen.training.average import WarmAverage
from guidegen.training.device import bf16_where_quick, compiled, sent
from guidegen.training.loop import SteppedTraining
from guidegen.training.pace import Pace
from guidegen.training.progress import Losses
from guidegen.training.schedule import paced
from guidegen.training.vqgan.codebook import Codebook, lookup, noisy, sampled, scrambled, usage
from guidegen.training.vqgan.discriminator import Adversary
from guidegen.training.vqgan.loss import Balance
from guidegen.training.vqgan.model import VQGAN, decorrelate

Pictures = Callable[[int, int, int], Tensor]
"""(step, n, size) -> RGB [n, 3, size, size] in [0, 1]."""
Perceptual = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""See `vqgan_loss.PerceptualLoss`."""


@dataclass(frozen=True, kw_only=True)
class VQGANConfig:
    """How long, how fast, and what counts.

    steps: of the optimiser, all of them.
    minutes: the time after which training stops; `steps` is then only what the schedules, which
        follow the time, are counted in.
    plain_steps: how many of them, at first, go without the codebook; None where it is a trained
        one, which is then kept.
    batch, size: pictures a step, and their side in pixels; in the first `early_share` of the steps
        it is twice as many crops of half the side, which cost half.
    lr: peak learning rate.
    perceptual, semantic: how hard these losses pull at the picture, where L1 pulls with 1.
    adversarial: the same of a discriminator, which learns beside; 0 for none.
    adversarial_from: step from which it pulls. It learns from the first.
    noise: greatest deviation of noise on encoder outputs before they are quantised, where 1 is the
        codebook's own. Half of the pictures are spared, the others' are even between 0 and this.
    scramble: the same for the share of a picture's codes that are replaced by random ones.
    sampled: how many pictures of random codes, as a share of a batch, are drawn beside it; the
        discriminator alone judges them, each as hard as the others.
    decoder_only: leave encoder and codebook as they are, which saves a third of the time.
    spread: what the deviation of each principal axis of the latents is raised to before the
        codebook starts; below 1 fewer entries tell mean colours, and more tell shapes.
    commitment: weight of the distance between encoder outputs and their codes.
    ema: decay of the average of the weights, which is what is kept.
    compile: let torch.compile fuse encoder and decoder; twice as fast on a CPU, needs a compiler.
    """

    steps: int
    minutes: float | None = None
    plain_steps: int | None = 300
    batch: int = 8
    size: int = 128
    early_share: float = 0.8
    lr: float = 1e-3
    perceptual: float = 0.7
    semantic: float = 0.15
    adversarial: float = 0.0
    adversarial_from: int = 0
    noise: float = 0.0
    scramble: float = 0.0
    sampled: float = 0.0
    decoder_only: bool = False
    spread: float = 1.0
    commitment: float = 0.25
    ema: float = 0.998
    save_every: int = 50
    compile: bool = True


class VQGANTrainer(SteppedTraining):
    """Trains `model` in place; `kept_state` is what to evaluate and to keep.

    Args:
        model: on its device.
        pictures: source of batches.
        perceptual: distance of two batches; None leaves L1 alone.
        config: see `VQGANConfig`.
        state_file: where the training state is kept; training goes on from it if it exists.
        seed: of codebook starts.
    """

    config: VQGANConfig

    def __init__(
        self,
        model: VQGAN,
        pictures: Pictures,
        perceptual: Perceptual | None,
        config: VQGANConfig,
        *,
        state_file: Path,
        seed: int,
    ) -> None:
        self.model, self.pictures, self.perceptual = model, pictures, perceptual
        self.config, self.state_file, self.seed = config, state_file, seed
        self.pace = Pace(config.steps, config.minutes)
        model.to(memory_format=torch.channels_last).train()
        self.weight: Tensor = model.quantize.embedding.weight.requires_grad_(False)
        self.device = self.weight.device
        self.codebook = Codebook(self.weight)
        if config.decoder_only:
            model.encoder.requires_grad_(False)
            model.quant_conv.requires_grad_(False)
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=config.lr, betas=(0.9, 0.98), weight_decay=1e-4,
            fused=True if self.device.type == "cuda" else None,
        )  # fmt: skip
        self.schedule = LambdaLR(self.optimizer, paced(self.pace))
        self.balance = Balance(
            {
                "l1": 1.0,
                "perceptual": config.perceptual,
                "semantic": config.semantic,
                "adversarial": config.adversarial,
                "sampled": config.adversarial * config.sampled**0.5,
            }
        )
        self.adversary = Adversary(self.device) if config.adversarial else None
        self.ema = WarmAverage(model, config.ema)
        self.step = self._resume()
        self.encode: Any = model.encoder
        self.decode: Any = model.decoder
        if config.compile:
            self.encode, self.decode = compiled(model.encoder, model.decoder, device=self.device)

    def _train_step(self) -> Losses:
        """One step; its losses, and the codes' use in its batch."""
        if self.config.plain_steps is not None and self.pace.passes(self.config.plain_steps):
            self._start_codebook()
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.ema.update_parameters(self.model)
        return losses

    def kept_state(self) -> dict[str, Tensor]:
        """State dict with the averaged weights, and the codebook as it is now."""
        # restarted entries jump, so their average would be of two unrelated places
        state = {k: v.clone() for k, v in self.ema.module.state_dict().items()}
        return {**state, "quantize.embedding.weight": self.weight.clone()}

    def _backward(self) -> Losses:
        """One step's gradients; the losses, and how many codes the batch used."""
        config = self.config
        images = sent(self._pictures(self.step), self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        z = self._encode(images)
        values: dict[str, Tensor] = {}
        if self.pace.now >= (config.plain_steps or 0):
            z, extra, values = self._quantise(z)
        else:  # as many as there will be: what is compiled is so for one size
            extra = z[: self._extra].detach()
        with bf16_where_quick(self.device):
            out = self.decode(self.model.post_quant_conv(torch.cat((z, extra))))
        out = (out.float() + 1) / 2
        seen = out.detach().requires_grad_(True)
        losses, told = self._losses(seen[: len(images)], seen[len(images) :], images)
        ends, grads = [out], [self.balance(losses, seen)]
        if "commit" in values and values["commit"].requires_grad:
            ends.append(values["commit"])
            grads.append(torch.ones_like(values["commit"]))
        torch.autograd.backward(ends, grads)
        return {k: v.detach() for k, v in {**losses, **values, **told}.items()}

    def _quantise(self, z: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """What is decoded in place of encoder outputs, and beside them; the commitment, the use."""
        config = self.config
        quantised, codes = lookup(z.detach(), self.weight)
        commit = config.commitment * (z - quantised).square().mean()
        used = usage(codes, len(self.weight)).count_nonzero().float()
        if not config.decoder_only:
            # entries rest in the last tenth, so that encoder and decoder can settle on them
            rng = self._rng() if self.pace.now < 0.9 * config.steps else None
            self.codebook.update(_rows(z.detach()), codes, rng)
        if config.noise:
            moved = noisy(z.detach(), self.weight, config.noise, self._rng(2))
            quantised = lookup(moved, self.weight)[0]
        if config.scramble:
            quantised = scrambled(quantised, self.weight, config.scramble, self._rng(1))
        extra = z[: self._extra].detach()
        if self._extra:
            extra = sampled(z.detach(), self.weight, self._extra, self._rng(3))
        return z + (quantised - z).detach(), extra, {"commit": commit, "codes": used}

    def _losses(
        self, seen: Tensor, extra: Tensor, images: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What pulls at reconstructions and at pictures of random codes; what is told beside."""
        losses = {"l1": (seen - images).abs().mean()}
        if self.perceptual is not None:
            losses["perceptual"], losses["semantic"] = self.perceptual(seen, images)
        if self.adversary is None:
            return losses, {}
        told = {"discriminator": self.adversary.learn(images, torch.cat((seen, extra)))}
        if self._pulls:
            losses["adversarial"] = self.adversary.judge(seen)
            if len(extra):
                losses["sampled"] = self.adversary.judge(extra)
        return losses, told

    @property
    def _extra(self) -> int:
        """Pictures of random codes in a step."""
        return 0 if self.adversary is None else round(self.config.sampled * self.config.batch)

    @property
    def _pulls(self) -> bool:
        """Whether the discriminator does by now."""
        return self.adversary is not None and self.pace.now >= self.config.adversarial_from

    def _pictures(self, step: int) -> Tensor:
        config = self.config
        if self.pace.now >= config.early_share * config.steps:
            return self.pictures(step, config.batch, config.size)
        whole = self.pictures(step, 2 * config.batch, config.size)
        side = config.size // 2
        rng = torch.Generator().manual_seed(step)
        corners = torch.randint(0, side + 1, (len(whole), 2), generator=rng).tolist()
        return torch.stack(
            [p[:, y : y + side, x : x + side] for p, (y, x) in zip(whole, corners, strict=True)]
        )

    def _encode(self, images: Tensor) -> Tensor:
        with bf16_where_quick(self.device):
            z: Tensor = self.model.quant_conv(self.encode(images * 2 - 1))
        return z.float()

    @torch.no_grad()
    def _start_codebook(self) -> None:
        config = self.config
        wanted = max(1, 16 * len(self.weight) // (config.batch * (config.size // 8) ** 2))
        self.encode, compiled = self.model.encoder, self.encode  # too few to compile that size for
        batches = (self.pictures(10**6 + k, config.batch, config.size) for k in range(wanted))
        z = torch.cat([_rows(self._encode(sent(batch, self.device))) for batch in batches])
        self.encode = compiled
        averages: Any = self.ema.module
        turned = decorrelate([self.model, averages], z, power=config.spread)
        self.codebook.start(turned, self._rng())

    def _rng(self, use: int = 0) -> torch.Generator:
        """Another for each step and use."""
        return torch.Generator().manual_seed((self.seed + 31 * use) * 1_000_003 + self.step)

    def _state(self) -> dict[str, Any]:
        state = {
            "model": self.model, "ema": self.ema, "codebook": self.codebook,
            "optimizer": self.optimizer, "schedule": self.schedule, "balance": self.balance,
        }  # fmt: skip
        return state if self.adversary is None else {**state, "adversary": self.adversary}


def _rows(z: Tensor) -> Tensor:
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])

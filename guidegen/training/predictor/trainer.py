"""Training of a predictor: texts in, the generator's pictures judged by CLIP.

Each step predicts two or more latents for each text, lets the generator draw them, and shows CLIP a
few views of each picture. The loss is the loop's own distance, a softmax over other texts, the
generator's prior, and a term against all pictures of one text being alike. With drawings, the
picture nearest to the text's drawing is also drawn towards it, seen small: that teaches where on
the paper things lie, and leaves to the noise which of several drawings it is (Li & Malik 2018,
implicit maximum likelihood).

Source: repository mehdidc/feed_forward_vqgan_clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from guidegen.cutouts import CutoutSettings, ViewParameters, sample_views, take_views
from guidegen.guidance.losses.distances import spherical_distance
from guidegen.guidance.starts.predictor import PredictorNetwork
from guidegen.interfaces import Generator, Images, Latents, Perceptor
from guidegen.ops import rows, straight_through
from guidegen.training.average import WarmAverage
from guidegen.training.device import sent
from guidegen.training.loop import SteppedTraining
from guidegen.training.pace import Pace
from guidegen.training.predictor.texts import Drawings, Told
from guidegen.training.progress import Losses
from guidegen.training.schedule import paced

_NOISE = 0.06  # highest deviation of the noise on a view, which draws its own


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """How long, on how much, against what.

    Attributes:
        steps: optimiser steps.
        minutes: the time after which training stops; `steps` is then only what the schedule, which
            follows the time, is counted in.
        texts: a step.
        samples: pictures of each text.
        views: of each picture.
        lr: peak learning rate of AdamW.
        among: how many texts CLIP's softmax chooses among.
        scale: its inverse temperature.
        choice: weight of the softmax.
        prior: weight of the generator's own regulariser.
        diversity: weight of the term against pictures of one text being alike.
        apart: root mean square difference, in units of [0, 1], at which they differ enough.
        picture: weight of the drawing; without effect where there are none.
        picture_size: side at which a picture and its drawing are compared.
        text_noise: length of the noise on the embeddings, which have length 1.
        ema: decay of the average of the weights, which is what is kept.
    """

    steps: int = 3000
    minutes: float | None = None
    texts: int = 24
    samples: int = 2
    views: int = 1
    lr: float = 1e-3
    among: int = 256
    scale: float = 20.0
    choice: float = 0.1
    prior: float = 1.0
    diversity: float = 1.0
    apart: float = 0.12
    picture: float = 10.0
    picture_size: int = 32
    text_noise: float = 0.2
    ema: float = 0.998
    save_every: int = 100


class PredictorTrainer(SteppedTraining):
    """Trains a network; `average.module` is what to keep.

    Args:
        network: calibrated.
        generator: draws the latents.
        starts: [k, ...] of each latent, as the generator itself starts; what is not predicted
            stays as in one of them.
        perceptor: sees the pictures.
        embeddings: [n, d] of all texts.
        told: the texts themselves.
        config: see `PredictorConfig`.
        drawings: the pictures that the texts tell of; None trains on texts alone.
        state_file: where the training state is kept; training goes on from it if it exists.
        seed: of everything random.
    """

    config: PredictorConfig

    def __init__(
        self,
        network: PredictorNetwork,
        generator: Generator,
        starts: Latents,
        perceptor: Perceptor,
        embeddings: Tensor,
        told: Sequence[Told],
        config: PredictorConfig,
        *,
        drawings: Drawings | None = None,
        state_file: Path,
        seed: int,
    ) -> None:
        self.network, self.generator, self.perceptor = network.train(), generator, perceptor
        self.starts, self.most = starts, len(next(iter(starts.values())))
        self.embeddings, self.told = embeddings, told
        self.wanted = None if drawings is None else _drawn(drawings, told)
        self.config, self.state_file, self.seed = config, state_file, seed
        self.pace = Pace(config.steps, config.minutes)
        self.device = embeddings.device
        for part in (network.into, network.out_of):  # where they were fitted to drawings they stay
            part.requires_grad_(drawings is None)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=config.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.schedule = LambdaLR(self.optimizer, paced(self.pace))
        self.average: Any = WarmAverage(network, config.ema)
        height, width = generator.size
        self.aspect = width / height
        self.cutouts = CutoutSettings(
            count=config.texts * config.samples * config.views,
            overview=0.66, shift=0.075, scale=(0.55, 0.9), noise=0.0,
        )  # fmt: skip
        self.step = self._resume()

    def _train_step(self) -> Losses:
        config = self.config
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        chosen = torch.randint(len(self.told), (config.texts,), generator=rng)
        here = sent(chosen, self.device)
        texts = self.embeddings[here].repeat_interleave(config.samples, 0)
        latents = self._latents(texts, rng)
        images = self.generator.decode(latents)
        losses = self._seen(images, texts, here, rng)
        losses["prior"] = config.prior * self.generator.prior(latents).mean()
        small = F.adaptive_avg_pool2d(images, config.picture_size)
        small = small.reshape(config.texts, config.samples, -1)
        if config.samples > 1:
            losses["diversity"] = config.diversity * alike(small, config.apart)
        if self.wanted is not None:
            wanted = self.wanted[here].float().flatten(1) / 255
            away = (small - wanted[:, None]).square().mean(2)
            losses["picture"] = config.picture * (0.8 * away.amin(1) + 0.2 * away.mean(1)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return {name: loss.detach() for name, loss in losses.items()}

    def _latents(self, texts: Tensor, rng: torch.Generator) -> Latents:
        """Latents of every text, within the generator's bounds; the gradient passes these."""
        n, config = len(texts), self.config
        noise = torch.randn(n, self.network.sizes.noise, generator=rng).to(self.device)
        blur = torch.randn(texts.shape, generator=rng) * texts.shape[1] ** -0.5
        seen = F.normalize(texts + config.text_noise * blur.to(self.device), dim=1)
        predicted = self.network(seen, noise)
        with torch.no_grad():
            latents = rows(self.starts, torch.randint(self.most, (n,), generator=rng))
            latents |= {name: value.detach().clone() for name, value in predicted.items()}
            self.generator.constrain_(latents)
        bound = {name: straight_through(latents[name], value) for name, value in predicted.items()}
        return {**latents, **bound}

    def _seen(
        self, images: Images, texts: Tensor, chosen: Tensor, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """What CLIP says of the views."""
        config, side = self.config, self.perceptor.input_size
        views = sample_views(self.cutouts, rngs=[rng], size=side, aspect=self.aspect)
        shared = take_views(images, _dealt(views, len(images)), size=side)
        own = torch.Generator(self.device).manual_seed(
            int(torch.randint(1 << 40, (1,), generator=rng))
        )
        sigma = _NOISE * torch.rand(len(shared), 1, 1, 1, generator=own, device=self.device)
        noise = torch.randn(shared.shape, generator=own, device=self.device)
        shared = shared + (sigma * noise).to(shared)
        features = self.perceptor.encode_image(shared)
        wanted = texts.repeat_interleave(config.views, 0)
        distance = spherical_distance(features, wanted).mean()
        others = torch.randint(len(self.told), (config.among - len(chosen),), generator=rng)
        bank = self.embeddings[torch.cat([chosen, sent(others, self.device)])]
        logits = config.scale * features @ bank.T
        # texts that say nearly the same are no wrong answers
        logits = logits.masked_fill(wanted @ bank.T > 0.9, -torch.inf)
        right = config.scale * (features * wanted).sum(1, keepdim=True)
        labels = torch.zeros(len(features), dtype=torch.long, device=self.device)
        choice = F.cross_entropy(torch.cat([right, logits], 1), labels)
        return {"clip": distance, "choice": config.choice * choice}

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network, "average": self.average,
            "optimizer": self.optimizer, "schedule": self.schedule,
        }  # fmt: skip


def _drawn(drawings: Drawings, told: Sequence[Told]) -> Tensor:
    """The drawings of all texts, uint8 [n, 3, side, side]."""
    lots = [drawings(told[i : i + 256]) for i in range(0, len(told), 256)]
    return torch.cat([(lot * 255).round().byte() for lot in lots])


def alike(pictures: Tensor, apart: float) -> Tensor:
    """How much nearer than `apart` pictures of one text are to each other, squared; 0 to apart².

    Args:
        pictures: [texts, samples, pixels].
        apart: root mean square difference that is enough.
    """
    samples = pictures.shape[1]
    first, second = torch.triu_indices(samples, samples, 1)
    differ = (pictures[:, first] - pictures[:, second]).square().mean(2)
    return F.relu(apart - (differ + 1e-8).sqrt()).mean()


def _dealt(views: ViewParameters, pictures: int) -> ViewParameters:
    """Views without noise, sampled for one picture, dealt out to many: whole ones come first."""

    def deal(value: Tensor) -> Tensor:
        rest = value.shape[2:]
        return value[0].view(-1, pictures, *rest).transpose(0, 1).contiguous()

    return ViewParameters(deal(views.warp), deal(views.shrink), deal(views.colour), None)

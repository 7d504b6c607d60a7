"""BigGAN: pictures of ImageNet's classes and of what lies between them.

Every block has its own z and its own class vector, as in Big Sleep: a picture is then no longer one
sample of the generator but a blend, which is what lets it leave the 1,000 classes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.biggan.latents import (
    few_classes_prior,
    gaussian_prior,
    moments_prior,
    soft_top_k,
)
from generators.biggan.network import FoldedBigGAN, load, workload
from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Entry, Images, Latents, Preference
from guidegen.ops import resize, rows
from guidegen.precision import generator_arithmetic
from guidegen.weights.store import Stored, stored

# Class logits of a start: those of classes that it has, and of those that it has not.
_CHOSEN, _OTHERS = 4.0, -7.0
# Classes that a ranked start chooses from.
_NEAREST = 24


class ImageNetClasses:
    """The 1,000 names as a vocabulary; in the order of ILSVRC-2012's class numbers."""

    def __init__(self) -> None:
        self.entries = [Entry(name) for name in _names()]
        self.digest = hashlib.sha256("\n".join(_names()).encode()).hexdigest()

    def thumbnails(self, indices: Sequence[int]) -> None:
        """There are none."""


@cache
def _names() -> tuple[str, ...]:
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return tuple(IMAGENET_CLASSNAMES)


class BigGAN:
    """Latents of B pictures, where L = blocks + 1.

    z [B, L, 128]             noise of the first layer and of each block
    class_logits [B, L, V]    their class vectors before sigmoid or top-k
    class_index [B]           instead of these, where one class is fixed

    Source: Brock, Donahue & Simonyan 2019 (arXiv:1809.11096) for the generator; Big Sleep
    (lucidrains/big-sleep) for its use.
    """

    def __init__(
        self,
        info: GeneratorInfo,
        model: Stored,
        *,
        device: str,
        precision: str = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.info, self.device = info, torch.device(device)
        self.options = {**info.read_options(()), **(options or {})}
        network = load(model)
        self.digest = model.sha256
        self.size = (int(network.config.output_dim),) * 2
        self.classes = int(network.config.num_classes)
        self.z_dim = int(network.config.z_dim)
        self.vocabulary = ImageNetClasses() if self.classes == len(_names()) else None
        self.arithmetic = generator_arithmetic(
            precision,
            self.device,
            module="BigGAN",
            shapes=f"{self.size[0]} px, width {network.config.channel_width}",
            workload=partial(workload, network, self.device),
        )
        self.dtype = self.arithmetic.dtype
        self.network = FoldedBigGAN(network, self.options["truncation"], self.dtype).to(self.device)
        self.rows = self.network.rows

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Random z; classes near the prompt, one at random, or as Big Sleep draws them."""
        near = self.options["start"] == "ranked"
        few = self.options["start"] != "random"
        drawn = [
            self._draw(rngs[b], preference[b].scores if preference and near else None, few)
            for b in range(batch)
        ]
        latents = {name: torch.stack([row[name] for row in drawn]) for name in drawn[0]}
        return {name: value.to(self.device) for name, value in latents.items()}

    def _draw(self, rng: torch.Generator, scores: Tensor | None, few: bool) -> Latents:
        shape = (1 if few else self.rows, self.z_dim)
        z = torch.randn(shape, generator=rng)
        if few:
            z = (z.clamp(-2, 2) * self.options["truncation"]).repeat(self.rows, 1)
        chosen = self._choose(scores, rng)
        if self.options["classes"] == "fixed":
            return {"z": z, "class_index": chosen[0]}
        if not few:
            logits = -3.9 + 0.3 * torch.randn(self.rows, self.classes, generator=rng)
        else:
            logits = torch.full((self.rows, self.classes), _OTHERS)
            logits += 0.3 * torch.randn(self.classes, generator=rng)
            logits[:, chosen] = _CHOSEN
        return {"z": z, "class_logits": logits}

    def _choose(self, scores: Tensor | None, rng: torch.Generator) -> Tensor:
        """One class, or sometimes two, by how near they are to the prompt; any, without scores."""
        if scores is None:
            return torch.randint(self.classes, (1,), generator=rng)
        nearest = scores.amax(0).topk(min(_NEAREST, self.classes))
        count = 1 if torch.rand((), generator=rng) < 0.7 else 2
        drawn = torch.multinomial((2 * nearest.values).softmax(0), count, generator=rng)
        return nearest.indices[drawn]

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """Pictures at the model's one size; another `size` is an antialiased resampling."""
        count = len(latents["z"])
        # on a CPU the low bits of a kernel's result depend on the batch
        step = 1 if self.device.type == "cpu" else count
        parts = [rows(latents, slice(i, i + step)) for i in range(0, count, step)]
        images = torch.cat([self._decode(part) for part in parts])
        return resize(images, size or self.size)

    def _decode(self, latents: Latents) -> Images:
        out: Tensor = self.network(latents["z"], self.class_vectors(latents))
        return (out + 1) / 2

    def class_vectors(self, latents: Latents) -> Tensor:
        """[B, L, V] what stands for the classes, each row of it in [0, 1]."""
        kind = self.options["classes"]
        if kind == "fixed":
            one = F.one_hot(latents["class_index"], self.classes).float()
            return one[:, None].expand(-1, self.rows, -1)
        logits = latents["class_logits"]
        if kind == "top-k":
            return soft_top_k(logits, self.options["max-classes"], self.options["temperature"])
        return logits.sigmoid()

    def mix(self, name: str, basis: Tensor, shares: Tensor) -> Tensor:
        """Mixtures [B, ...] of latents [B, K, ...] in shares of the same shape.

        Class vectors are mixed and not their logits, in which a no weighs more than a yes.
        """
        if name != "class_logits":
            return (basis * shares).sum(1)
        mixed = (basis.sigmoid() * shares).sum(1)
        return torch.logit(mixed.clamp(1e-6, 1 - 1e-6))

    def constrain_(self, latents: Latents) -> None:
        """Keep z within the bound, if there is one."""
        bound = self.options["bound"]
        if bound:
            latents["z"].data.clamp_(-bound, bound)

    def prior(self, latents: Latents) -> Tensor:
        """What the options `prior`, `latent-prior` and `class-prior` ask for."""
        kind = self.options["prior"]
        total = torch.zeros(len(latents["z"]), device=self.device)
        if kind == "none":
            return total
        of_z = moments_prior if kind == "big-sleep" else gaussian_prior
        if self.options["latent-prior"]:
            total = total + self.options["latent-prior"] * of_z(latents["z"])
        if self.options["class-prior"] and "class_logits" in latents:
            classes = self.class_vectors(latents)
            total = total + self.options["class-prior"] * few_classes_prior(classes)
        return total


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, object],
) -> BigGAN:
    """Entry point; see `guidegen.backend.Backend`. There is one size, that of the model.

    Raises:
        WeightsError: the weights are not here, have changed or do not fit their config.
        ConfigError: a precision that the device has not.
    """
    return BigGAN(info, stored(info.name), device=device, precision=precision, options=options)

"""Several starts at once, mixed number by number, and optimised together with how they are mixed.

One start lies in one basin. A mixture of several, whose shares are latents too, has ways between
the basins.

Source: Liu et al. 2021, "FuseDream: Training-Free Text-to-Image Generation with Improved CLIP+GAN
Space Optimization" (arXiv:2112.01573), section 3.2; repository gnobitab/FuseDream,
`optimize_clip_score`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from guidegen.errors import ConfigError
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.starts.search import draw, losses_of
from guidegen.interfaces import Generator, Images, Latents, Mixes, Preference
from guidegen.interfaces.wrapped import Wrapped
from guidegen.ops import floating, joined, rows

_BASIS, _SHARE = "basis-", "share-"
_AT_ONCE = 64


class Mixture(Wrapped):
    """A generator of mixtures of K latents of another one.

    Latents, for each latent NAME [B, ...] of the other: `basis-NAME` [B, K, ...], and `share-NAME`
    of the same shape, whose softmax over K mixes them.

    Args:
        generator: draws.
        count: K.
    """

    def __init__(self, generator: Generator, count: int) -> None:
        super().__init__(generator)
        self.count = count

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Mixtures of the first K starts of each candidate."""
        mixtures = []
        for row, rng in enumerate(rngs[:batch]):
            own = None if preference is None else [preference[row]] * self.count
            basis = self.generator.init(self.count, rngs=[rng] * self.count, preference=own)
            mixtures.append(self.mixture_of(basis, rng))
        return joined(mixtures)

    def mixture_of(self, basis: Latents, rng: torch.Generator) -> Latents:
        """The latents, a batch of one, of K starts [K, ...] in random shares.

        Raises:
            ConfigError: the generator makes choices, of which there is no mean.
        """
        if len(floating(basis)) < len(basis):
            raise ConfigError(
                f"{self.info.name} makes choices, and of those there is no mixture; leave it out",
                field="mix",
            )
        out = {}
        for name, value in basis.items():
            out[_BASIS + name] = value[None].clone()
            share = torch.randn(value.shape, generator=rng)
            out[_SHARE + name] = share[None].to(value)
        return out

    def mixed(self, latents: Latents) -> Latents:
        """The other generator's latents [B, ...] that these stand for.

        Its own stand for themselves: starts are scored before they are mixed.
        """
        if not any(key.startswith(_BASIS) for key in latents):
            return latents
        out = {}
        for key, basis in latents.items():
            if not key.startswith(_BASIS):
                continue
            name = key.removeprefix(_BASIS)
            shares = latents[_SHARE + name].softmax(1)
            if isinstance(self.generator, Mixes):
                out[name] = self.generator.mix(name, basis, shares)
            else:
                out[name] = (basis * shares).sum(1)
        return out

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """The picture of the mixed latents."""
        return self.generator.decode(self.mixed(latents), size=size)

    def constrain_(self, latents: Latents) -> None:
        """Keep each part of the basis where the other generator wants it."""
        basis = {
            key.removeprefix(_BASIS): value.data.flatten(0, 1)
            for key, value in latents.items()
            if key.startswith(_BASIS)
        }
        self.generator.constrain_(basis)

    def prior(self, latents: Latents) -> Tensor:
        """That of the mixed latents."""
        return self.generator.prior(self.mixed(latents))


def mix_best(
    mixture: Mixture,
    evaluator: LossEvaluator,
    starts: int,
    *,
    preference: Sequence[Preference] | None = None,
) -> Latents:
    """A mixture of each candidate's best starts.

    Args:
        mixture: how many, and of which generator.
        evaluator: whose generator draws the starts; of all candidates.
        starts: drawn for each candidate; at least as many as are mixed.
        preference: what the vocabulary should show.
    """
    chosen = []
    for b, candidate in enumerate(evaluator.candidates):
        wanted = max(starts, mixture.count)
        basis = _best(evaluator, b, wanted, mixture.count, preference=preference)
        chosen.append(mixture.mixture_of(basis, candidate.rng))
    latents = joined(chosen)
    with torch.no_grad():
        mixture.constrain_(latents)
    return latents


def _best(
    evaluator: LossEvaluator,
    candidate: int,
    starts: int,
    count: int,
    *,
    preference: Sequence[Preference] | None,
) -> Latents:
    """The best `count` of a candidate's starts, the best first; memory is that of a few."""
    cutouts = evaluator.sample_cutouts(range(candidate, candidate + 1))
    best: Latents = {}
    losses = torch.empty(0)
    for done in range(0, starts, _AT_ONCE):
        few = min(_AT_ONCE, starts - done)
        sampled = draw(evaluator, candidate, few, preference=preference)
        found = losses_of(evaluator, candidate, sampled, cutouts)
        losses = torch.cat([losses.to(found), found])
        best = {n: torch.cat([best[n], v]) if best else v for n, v in sampled.items()}
        order = losses.argsort()[:count]
        losses, best = losses[order], rows(best, order)
    return best


def noised(latents: Latents, rngs: Sequence[torch.Generator], deviation: float) -> Latents:
    """Latents with noise of each candidate's own; a mixture's noise is that of what it mixes.

    Source: repository gnobitab/FuseDream, `LATENT_NOISE`.
    """
    out = dict(latents)
    for name, value in floating(latents).items():
        if name.startswith(_SHARE):
            continue
        shape = (1, *value.shape[2:]) if name.startswith(_BASIS) else value.shape[1:]
        noise = torch.stack([torch.randn(shape, generator=rng) for rng in rngs])
        out[name] = value + deviation * noise.to(value)
    return out

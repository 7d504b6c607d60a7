"""What is minimised: a sum of named, weighted terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidegen.errors import OptimizationError
from guidegen.interfaces import (
    Anchored,
    Decoded,
    ImageLoss,
    Latents,
    Loss,
    LossContext,
    Viewed,
    ViewLoss,
)
from guidegen.prompt.loss_terms import LossTerm, loss_options
from guidegen.registry import find_loss


@dataclass(frozen=True)
class Term:
    """One part of the sum.

    Attributes:
        schedule: its name, its weight and when it counts.
        loss: what it measures.
    """

    schedule: LossTerm
    loss: Loss

    @property
    def name(self) -> str:
        """What it is called in `Step.losses`."""
        return self.schedule.name


@dataclass(frozen=True)
class Objective:
    """The loss of all candidates: the sum of its terms."""

    terms: tuple[Term, ...]

    def and_terms(self, terms: Sequence[Term]) -> "Objective":
        """This objective with more terms."""
        return replace(self, terms=(*self.terms, *terms))

    def image_losses(self, decoded: Decoded) -> dict[str, Tensor]:
        """Weighted losses [G] of pictures and latents, of the terms that count now."""
        found = {}
        for term, weight in self._counting(decoded.progress):
            if isinstance(term.loss, ImageLoss):
                loss = term.loss.image_loss(decoded)
                found[term.name] = weight * _checked(term.name, loss, len(decoded.images))
        return found

    def view_losses(self, parts: Sequence[tuple[Viewed, float]]) -> dict[str, Tensor]:
        """Weighted losses [m] of m views, of the terms that count now.

        Args:
            parts: the same views through each perceptor, with the perceptors' weights. Where a loss
                reads only some of the perceptors, their weights are scaled up to the sum of all.
        """
        whole = sum(share for _, share in parts)
        found = {}
        for term, weight in self._counting(parts[0][0].progress):
            if not isinstance(term.loss, ViewLoss):
                continue
            losses, read = [], 0.0
            for viewed, share in parts:
                loss = term.loss.view_loss(viewed)
                if loss is not None:
                    losses.append(share * _checked(term.name, loss, len(viewed.features)))
                    read += share
            if not losses:
                names = ", ".join(viewed.perceptor.name for viewed, _ in parts)
                raise OptimizationError(
                    f"the loss {term.name!r} reads none of {names}; leave it out"
                )
            found[term.name] = weight * (whole / read) * torch.stack(losses).sum(0)
        return found

    def needs_views(self, progress: float) -> bool:
        """Whether any term that counts now asks for CLIP's features."""
        return any(isinstance(term.loss, ViewLoss) for term, _ in self._counting(progress))

    def weights_at(self, progress: float) -> dict[str, float]:
        """Name -> weight of every term when a share `progress` of the run is over."""
        return {term.name: term.schedule.weight_at(progress) for term in self.terms}

    def moments(self) -> list[float]:
        """Shares of the run at which, taken together, every term counts in full; 0 is the first."""
        terms = [term.schedule for term in self.terms]
        later = {(term.begin + term.end) / 2 for term in terms if term.begin > 0}
        return [0.0, *sorted(later)]

    def begin(self, latents: Latents) -> "Objective":
        """The objective of a run that begins at these latents, or was moved there."""
        return self._with(
            {t.name: t.loss.begin(latents) for t in self.terms if isinstance(t.loss, Anchored)}
        )

    def resume(self, states: Mapping[str, Latents]) -> "Objective":
        """The objective of a run that goes on with what `states` returned."""
        return self._with(
            {
                term.name: term.loss.resume(states[term.name])
                for term in self.terms
                if isinstance(term.loss, Anchored)
            }
        )

    def states(self) -> dict[str, Latents]:
        """What the losses remember of the run, by their names."""
        return {t.name: t.loss.state() for t in self.terms if isinstance(t.loss, Anchored)}

    def _with(self, losses: Mapping[str, Loss]) -> "Objective":
        terms = [replace(term, loss=losses.get(term.name, term.loss)) for term in self.terms]
        return replace(self, terms=tuple(terms))

    def _counting(self, progress: float) -> list[tuple[Term, float]]:
        """The terms with a weight now. One without costs nothing, not even a look."""
        weighted = [(term, term.schedule.weight_at(progress)) for term in self.terms]
        return [(term, weight) for term, weight in weighted if weight]


def make_objective(
    terms: Sequence[LossTerm], context: LossContext, options: Sequence[str] = ()
) -> Objective:
    """Build the losses that are installed under these names.

    Args:
        terms: one for each.
        context: what they may need; each is told its own options.
        options: as the user writes them, `LOSS.NAME=VALUE`.

    Raises:
        UnknownNameError: there is no such loss; the nearest are offered.
        ConfigError: an option that can't be.
        GuidegenError: it can't be loaded.
    """
    given = loss_options(terms, options)
    made = []
    for term in terms:
        card = find_loss(term.name)
        own = card.read_options(given[term.name])
        made.append(Term(term, card.load(replace(context, options=own))))
    return Objective(tuple(made))


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """Sum of the named losses, [B]."""
    return torch.stack(list(losses.values())).sum(0)


def _checked(name: str, loss: Tensor, count: int) -> Tensor:
    if loss.shape != (count,):
        raise OptimizationError(
            f"the loss {name!r} returned a tensor of shape {list(loss.shape)} in place of [{count}]"
        )
    return loss

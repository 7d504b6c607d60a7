"""What the loop yields, and what it can go on from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from guidegen.interfaces.generator import Images, Latents
from guidegen.prompt.grammar import Prompt
from guidegen.prompt.references import ImagePrompt, NoisePrompt


@dataclass(frozen=True)
class Candidate:
    """One of the B images that are optimised together.

    Attributes:
        prompts: those of all scenes.
        rng: its random numbers come from here.
        scenes: the scene of each prompt, from 0; -1 belongs to all. Empty: there is one scene.
        references: pictures and random directions that the result should resemble.
        pick: number, from 1, of the start to go on from; None is the best of several.
    """

    prompts: tuple[Prompt, ...]
    rng: torch.Generator = field(compare=False)
    scenes: tuple[int, ...] = ()
    references: tuple[ImagePrompt | NoisePrompt, ...] = ()
    pick: int | None = None


@dataclass(frozen=True)
class OptimizerState:
    """What an optimiser remembers of each floating latent; empty before its first update.

    Attributes:
        moments: latent -> name -> [B, ...], of the latent's own shape: Adam's two averages.
        counters: latent -> name -> what all candidates share: Adam's number of updates.
    """

    moments: Mapping[str, Latents]
    counters: Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class AverageState:
    """The moving average of the latents that is shown.

    Attributes:
        sums: each floating latent, [B, ...], not yet divided by the weight.
        weight: [B], the part of the average that has been filled.
    """

    sums: Latents
    weight: Tensor


@dataclass(frozen=True)
class BestState:
    """The latents [B, ...] of each candidate's lowest total loss so far, and that loss [B]."""

    latents: Latents
    loss: Tensor


@dataclass(frozen=True)
class JudgeState:
    """What a judge liked best so far.

    Attributes:
        latents: of each candidate's best look, [B, ...].
        score: [B], of that look.
        worse: [B], looks since then.
    """

    latents: Latents
    score: Tensor
    worse: Tensor


@dataclass(frozen=True)
class LoopState:
    """Where a loop stands before it samples the views of step `index`; enough to go on from there.

    All tensors but the optimiser's counters have a row a candidate. What wraps the loop keeps its
    own part, and nobody else reads it.

    Attributes:
        index: the step that comes next.
        latents: all of them, [B, ...].
        rngs: [B, n] bytes of the state of each candidate's random number generator.
        optimizer: its moments and counters.
        losses: name of a term -> what its loss remembers (see `Anchored`).
        average: of `guidegen.guidance.averaging.averaged`; None where nothing is averaged.
        best: of `guidegen.guidance.averaging.best_so_far`; None where nobody keeps it.
        judged: of `guidegen.guidance.judge.judged`; None where nobody judges.
    """

    index: int
    latents: Latents
    rngs: Tensor
    optimizer: OptimizerState
    losses: Mapping[str, Latents] = field(default_factory=dict)
    average: AverageState | None = None
    best: BestState | None = None
    judged: JudgeState | None = None


@dataclass(frozen=True)
class Step:
    """What the loop yields: one consistent state. All tensors are detached.

    Attributes:
        index: 0 is the start, `total` the last.
        total: steps of the run.
        latents: state that was evaluated, [B, ...] each; a copy.
        images: [B, 3, H, W], decoded from `latents`.
        losses: name -> [B]; "total" is the sum of the others, which are weighted already.
        lr: learning rate of the update that follows.
        best: latents of each candidate's lowest total loss so far; None where nobody keeps them.
        scores: name -> [B], of what is measured at this step and not minimised.
        judged: what a judge liked best so far; None where nobody judges.
        snapshot: copies the state that a run can go on from; to be called before the next step is
            asked for. A loop that goes on from it yields this step again.
    """

    index: int
    total: int
    latents: Latents
    images: Images
    losses: Mapping[str, Tensor]
    lr: float
    best: Latents | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    judged: JudgeState | None = None
    snapshot: Callable[[], LoopState] | None = field(default=None, compare=False, repr=False)

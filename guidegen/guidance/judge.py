"""A CLIP that never guides: its score of the picture, and the picture that it liked best.

What guides is fooled in the end: its score rises while the picture gets worse. One that had no part
in it falls when that begins.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guidegen.guidance.targets import similarity
from guidegen.interfaces import Images, JudgeState, LoopState, Perceptor, Step, Target
from guidegen.ops import column


@dataclass(frozen=True)
class Judge:
    """A perceptor that only looks.

    Attributes:
        perceptor: the CLIP.
        targets: each candidate's prompts, encoded by it.
        words: how many rows of each target are words.
    """

    perceptor: Perceptor
    targets: Sequence[Target]
    words: Sequence[int]

    @property
    def name(self) -> str:
        """What its scores are called."""
        return f"judge {self.perceptor.name}"

    def score(self, images: Images, row: int) -> float:
        """Cosine of one candidate's whole picture [1, 3, H, W] and the words it was to show."""
        return similarity(self.perceptor, self.targets[row], images.float(), self.words[row])


def judged(
    steps: Iterator[Step], judge: Judge, *, every: int, resume: LoopState | None = None
) -> Iterator[Step]:
    """Add the judge's score to every so manyth step and to the last, and what it liked best to all.

    Args:
        steps: the loop.
        judge: of all candidates.
        every: steps between two looks.
        resume: the state that the loop goes on from; its step has been judged already.
    """
    state = None if resume is None else resume.judged
    for step in steps:
        scores = step.scores
        if step.index % every == 0 or step.index == step.total:
            found = [judge.score(step.images[b : b + 1], b) for b in range(len(step.images))]
            seen = torch.tensor(found, device=step.images.device)
            scores = {**scores, judge.name: seen}
            if resume is None or step.index > resume.index:
                state = _after(state, step, seen)
        yield replace(step, scores=scores, judged=state, snapshot=_with(step, state))


def _after(state: JudgeState | None, step: Step, seen: Tensor) -> JudgeState:
    """The state after one more look."""
    looks = torch.zeros_like(seen)
    if state is None:
        return JudgeState(dict(step.latents), seen, looks)
    better = seen > state.score
    latents = {
        name: torch.where(column(better, value), value, state.latents[name])
        for name, value in step.latents.items()
    }
    worse = torch.where(better, looks, state.worse + 1)
    return JudgeState(latents, torch.where(better, seen, state.score), worse)


def _with(step: Step, state: JudgeState | None) -> Callable[[], LoopState] | None:
    """The step's snapshot with the judge's part."""
    inner = step.snapshot
    if inner is None:
        return None
    return lambda: replace(inner(), judged=state)

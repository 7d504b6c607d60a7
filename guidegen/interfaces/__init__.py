"""The protocols that the engine and its plug-ins agree on.

Images are a float tensor [B, 3, H, W], RGB in [0, 1]. Latents are a dict of tensors, batch first;
floating ones are optimised, integer ones are choices.
"""

from guidegen.interfaces.generator import (
    Draws,
    Encodes,
    Entry,
    Generator,
    Images,
    Latents,
    Mixes,
    Preference,
    Proposes,
    Vocabulary,
)
from guidegen.interfaces.loop import (
    AverageState,
    BestState,
    Candidate,
    JudgeState,
    LoopState,
    OptimizerState,
    Step,
)
from guidegen.interfaces.loss import (
    Anchored,
    Decoded,
    ImageLoss,
    Loss,
    LossContext,
    Target,
    Viewed,
    ViewLoss,
)
from guidegen.interfaces.perceptor import Perceptor
from guidegen.prompt.grammar import Phrase, Prompt

__all__ = [
    "Anchored",
    "AverageState",
    "BestState",
    "Candidate",
    "Decoded",
    "Draws",
    "Encodes",
    "Entry",
    "Generator",
    "ImageLoss",
    "Images",
    "JudgeState",
    "Latents",
    "LoopState",
    "Loss",
    "LossContext",
    "Mixes",
    "OptimizerState",
    "Perceptor",
    "Phrase",
    "Preference",
    "Prompt",
    "Proposes",
    "Step",
    "Target",
    "ViewLoss",
    "Viewed",
    "Vocabulary",
]

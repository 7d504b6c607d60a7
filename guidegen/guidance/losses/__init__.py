"""The losses that ship with guidegen. Torch-free: each names the module it lives in.

To add one, write a module like `total_variation` and a card here, and name the card in
pyproject.toml; another package does the same in its own (docs/loss.md).
"""

from guidegen.backend import LossInfo

CLIP = LossInfo(
    name="clip",
    summary="distance of the views to the prompts in CLIP's space; there with weight 1",
    target="guidegen.guidance.losses.clip:build",
)
PRIOR = LossInfo(
    name="prior",
    summary="the generator's own regulariser; there with the weight of the setting prior",
    target="guidegen.guidance.losses.prior:build",
)
NEAR_START = LossInfo(
    name="init",
    summary="mean squared distance of the latents to where the run began",
    target="guidegen.guidance.losses.near_start:build",
)
TOTAL_VARIATION = LossInfo(
    name="tv",
    summary="differences between neighbouring pixels; makes pictures smooth",
    target="guidegen.guidance.losses.total_variation:build",
    source="Rudin, Osher & Fatemi 1992 (doi:10.1016/0167-2789(92)90242-F)",
)

"""The losses that ship with guidegen. Torch-free: each names the module it lives in.

To add one, write a module like `total_variation` and a card here, and name the card in
pyproject.toml; another package does the same in its own (docs/loss.md).
"""

from guidegen.backend import LossInfo, Option

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
LATENT_VARIATION = LossInfo(
    name="smooth",
    summary="differences between neighbouring latents, like a VQGAN's codes; calms them",
    target="guidegen.guidance.losses.detail:build_smooth",
)
SATURATION = LossInfo(
    name="saturation",
    summary="greyness; makes colours lively, with a negative weight pale",
    target="guidegen.guidance.losses.colour:build_saturation",
)
RANGE = LossInfo(
    name="range",
    summary="what is nearly black or nearly white; keeps lights and shadows open",
    target="guidegen.guidance.losses.colour:build_range",
    options={
        "low": Option(0.05, "darker than this counts", low=0.0, high=1.0),
        "high": Option(0.95, "lighter than this counts", low=0.0, high=1.0),
    },
    check="guidegen.guidance.losses.colour:check_range",
)
PALETTE = LossInfo(
    name="palette",
    summary="distance of the pixels to the nearest of a few colours",
    target="guidegen.guidance.losses.palette:build",
    options={
        "colours": Option("", "names or numbers with commas between them: navy,red,#ffe0a0"),
        "picture": Option("", "path of a picture whose colours to take in place of those"),
        "count": Option(6, "how many to take from the picture", low=2, high=64),
    },
    check="guidegen.guidance.losses.palette:read_colours",
)
BACKGROUND = LossInfo(
    name="background",
    summary="what is not plain towards the borders; makes one thing in its place",
    target="guidegen.guidance.losses.layout:build_background",
    options={
        "colour": Option("", "of the background, white or #ffe0a0; by default the picture's own"),
        "reach": Option(
            0.45, "how far from the centre it begins; 1 is the middle of a side", low=0.0, high=0.95
        ),
    },
    check="guidegen.guidance.losses.layout:check_background",
)
SYMMETRY = LossInfo(
    name="symmetry",
    summary="difference from the mirror image",
    target="guidegen.guidance.losses.layout:build_symmetry",
    options={
        "axis": Option(
            "left-right",
            "left and right are the same, up and down, both, or the picture turned by 180 degrees",
            choices=("left-right", "up-down", "both", "half-turn"),
        )
    },
)
SEAMLESS = LossInfo(
    name="seamless",
    summary="breaks where copies of the picture laid side by side would meet; makes tiles",
    target="guidegen.guidance.losses.layout:build_seamless",
)
EDGES = LossInfo(
    name="edges",
    summary="outlines that differ from those of a picture",
    target="guidegen.guidance.losses.detail:build_edges",
    options={"picture": Option("", "path of the picture whose outlines to follow")},
    check="guidegen.guidance.losses.detail:check_edges",
)
SHARPNESS = LossInfo(
    name="sharpness",
    summary="lack of sharp detail",
    target="guidegen.guidance.losses.detail:build_sharpness",
)
LIKE = LossInfo(
    name="like",
    summary="difference from a picture, part by part",
    target="guidegen.guidance.losses.likeness:build",
    options={
        "picture": Option("", "path of the picture to be near to"),
        "by": Option("clip", "as CLIP sees both, or pixel by pixel", choices=("clip", "pixels")),
        "parts": Option(2, "squares along the shorter side that CLIP compares", low=1, high=8),
    },
    check="guidegen.guidance.losses.likeness:check",
)
AVOID = LossInfo(
    name="avoid",
    summary="resemblance to words of your own, like a negative prompt with a schedule",
    target="guidegen.guidance.losses.avoid:build",
    options={"words": Option("", "what to stay away from, with commas between")},
    check="guidegen.guidance.losses.avoid:check",
)
TEXT_OFF = LossInfo(
    name="text-off",
    summary="resemblance to lettering, watermarks and signatures",
    target="guidegen.guidance.losses.avoid:build",
    source="Fort & Whitaker 2025 (arXiv:2502.07753)",
    options={
        "words": Option(
            "letters and words, a watermark, a signature, optical character recognition",
            "what to stay away from, with commas between",
        )
    },
    check="guidegen.guidance.losses.avoid:check",
)
AESTHETICS = LossInfo(
    name="aesthetics",
    summary="minus the score of a linear head on CLIP's features",
    target="guidegen.guidance.losses.heads:build_aesthetics",
    source="repository LAION-AI/aesthetic-predictor",
    options={"head": Option("", "path of a safetensors file with weight [1, d] and bias [1]")},
    check="guidegen.guidance.losses.heads:check_aesthetics",
)
PROBE = LossInfo(
    name="probe",
    summary="cross-entropy of a label of a logistic probe (guidegen probe)",
    target="guidegen.guidance.losses.heads:build_probe",
    options={
        "head": Option("", "path of the probe"),
        "label": Option("", "the label that the picture should get"),
    },
    check="guidegen.guidance.losses.heads:check_probe",
)

"""The generator backends that ship with guidegen. Torch-free: each names the module it lives in."""

from dataclasses import replace

from generators.biggan import card as biggan_card
from generators.vqgan import card as vqgan_card
from guidegen.backend import Backend, Defaults, GeneratorInfo, Option

# What suits a picture that gradients paint: its views show wholes, moved a little, more than parts.
_PAINTER = Defaults(
    steps=120, lr=0.05, cutouts=6, noise=0.06, whole=0.66, scale=(0.55, 0.9), shift=0.075
)

COLLAGE = Backend(
    name="collage",
    variants={
        "": GeneratorInfo(
            name="collage",
            summary="a picture laid from cut-out drawings; crisp, instant, works offline",
            sizes=(64, 4096),
            default_size=512,
            latents={
                "place": "[6, 2]",
                "scale": "[6]",
                "angle": "[6]",
                "tint": "[6, 3]",
                "dye": "[6]",
                "backdrop": "[2, 3]",
                "land": "choice",
                "pinned": "choice",
                "patch": "[6] choice",
                "phrase": "[6] choice",
                "behind": "[6] choice",
            },
            licence="patches: MIT, Apache-2.0, public domain (see ATTRIBUTION.md)",
            source="CLIP-CLOP, Mirowski et al. 2022 (arXiv:2205.03146)",
            # Adam moves by the rate whatever the gradient: at .05 things left where they stood
            defaults=Defaults(steps=30, lr=0.015, cutouts=8, starts=16, noise=0.02),
        )
    },
    target="generators.collage.generator:build",
)

FOURIER = Backend(
    name="fourier",
    variants={
        "": GeneratorInfo(
            name="fourier",
            summary="Fourier coefficients in decorrelated colours; wants a real CLIP",
            sizes=(32, 2048),
            default_size=384,
            latents={"spectrum": "[3, H, W/2+1, 2]"},
            licence="no weights",
            source="Feature Visualization, Olah et al. 2017 (doi:10.23915/distill.00007)",
            encodes=True,
            defaults=Defaults(steps=200, lr=0.05, cutouts=32),
        )
    },
    target="generators.fourier:build",
)

PIXELS = Backend(
    name="pixels",
    variants={
        "": GeneratorInfo(
            name="pixels",
            summary="the image itself is the latent; for teaching, and to finish other pictures",
            sizes=(16, 2048),
            default_size=384,
            latents={"pixels": "[3, H, W]"},
            licence="no weights",
            source="Simonyan et al. 2014 (arXiv:1312.6034)",
            encodes=True,
            defaults=Defaults(steps=200, lr=0.02, cutouts=32),
        )
    },
    target="generators.pixels:build",
)

PYRAMID = Backend(
    name="pyramid",
    variants={
        "": GeneratorInfo(
            name="pyramid",
            summary="paints: a sum of layers of every scale; wants a robust or a real CLIP",
            sizes=(32, 2048),
            default_size=256,
            latents={"layer-N": "[3, N·H/min(H, W), N·W/min(H, W)] for each scale N"},
            licence="no weights",
            source="Direct Ascent Synthesis, Fort & Whitaker 2025 (arXiv:2502.07753)",
            encodes=True,
            defaults=_PAINTER,
            options={
                "scales": Option(
                    "octaves",
                    "sides of the layers: each twice the one before, or all, as published",
                    choices=("octaves", "all"),
                ),
                "start": Option(
                    "paper",
                    "nearly white paper, mid-grey, or soft noise",
                    choices=("paper", "grey", "noise"),
                ),
                "saturation": Option(
                    1.0, "how readily colours change, against lightness", low=0.0, high=4.0
                ),
                "detail": Option(
                    0.5,
                    "learning rate of the finest layer as a part of the coarsest one's",
                    low=0.001,
                    high=10.0,
                ),
            },
        )
    },
    target="generators.pyramid:build",
)

SIREN = Backend(
    name="siren",
    variants={
        "": GeneratorInfo(
            name="siren",
            summary="a network of the coordinates: smooth, and sharp at any size",
            sizes=(32, 2048),
            default_size=256,
            latents={"weight-N": "[in, out] for each layer N", "bias-N": "[out]"},
            licence="no weights",
            source="SIREN, Sitzmann et al. 2020 (arXiv:2006.09661)",
            defaults=replace(_PAINTER, steps=200, lr=0.01, cutouts=8),
            options={
                "width": Option(64, "numbers of a hidden layer", low=8, high=512),
                "depth": Option(4, "hidden layers", low=1, high=16),
                "detail": Option(
                    5.0, "waves along the shorter side at the start", low=0.1, high=100.0
                ),
            },
        )
    },
    target="generators.siren:build",
)

LINES = Backend(
    name="lines",
    variants={
        "": GeneratorInfo(
            name="lines",
            summary="strokes of a pen, also as SVG; wants a robust or a real CLIP",
            sizes=(32, 2048),
            default_size=224,
            latents={"place": "[N, 4, 2]", "width": "[N]", "colour": "[N, 4]"},
            licence="no weights",
            source="CLIPDraw, Frans et al. 2021 (arXiv:2106.14843)",
            defaults=replace(_PAINTER, steps=200, lr=0.03, cutouts=8),
            options={
                "strokes": Option(64, "strokes", low=1, high=2048),
                "thickest": Option(
                    0.05, "largest width, in parts of the shorter side", low=0.002, high=0.5
                ),
                "ink": Option("colours", "colours or black", choices=("colours", "black")),
            },
        )
    },
    target="generators.lines:build",
)

VQGAN = Backend(
    name="vqgan",
    variants=vqgan_card.VARIANTS,
    target="generators.vqgan.generator:build",
    describe="generators.vqgan.card:describe",
)

BIGGAN = Backend(
    name="biggan",
    variants=biggan_card.VARIANTS,
    target="generators.biggan.generator:build",
    describe="generators.biggan.card:describe",
)

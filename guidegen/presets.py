"""Presets: settings under a name, as a user would write them. Torch-free.

A preset lies below everything that the user names and above what suits the generator. A config that
was made with one holds its settings like any other, and applying it again changes nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from guidegen.errors import ConfigError

_CLIP = ("ViT-B-32/openai",)
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # BigGAN + CLIP with our own cutouts and starts. Steps and rate: between big-sleep's, whose
        # users found .07 restless and 21,000 steps far too many (issue 15 there), and our loop's.
        "biggan": {
            "generator": "biggan/deep-256",
            "perceptor": _CLIP,
            "steps": 250,
            "lr": 0.05,
            "lr_end": 0.1,
            "cutouts": 64,
        },
        # VQGAN + CLIP with our own cutouts. VQGAN-CLIP's rate, but falling, so that 300 steps do.
        "vqgan": {
            "generator": "vqgan/imagenet-f16-16384",
            "perceptor": _CLIP,
            "steps": 300,
            "lr": 0.1,
            "lr_end": 0.1,
            "cutouts": 32,
        },
        # Repository lucidrains/big-sleep: `Imagine`'s defaults. 20 epochs of 1050 steps are as
        # published; pictures are good after some hundreds (--steps 500).
        "big-sleep": {
            "generator": "biggan/deep-512",
            "option": (
                "classes=sigmoid",
                "truncation=1",
                "start=random",
                "bound=0",
                "prior=big-sleep",
                "latent-prior=1",
                "class-prior=1",
            ),
            "perceptor": _CLIP,
            "steps": 21_000,
            "lr": 0.07,
            "lr_end": 1.0,
            "optimizer": "adam",
            "cutouts": 128,
            "cutout_method": "big-sleep",
            "cutout_noise": 0.0,
            "starts": 1,
            "distance": "big-sleep",
            "negative_weight": 1.0,
            "ema": 0.99,
        },
        # FuseDream, Liu et al. 2021 (arXiv:2112.01573), and repository gnobitab/FuseDream:
        # 1,000 draws of 10, the best 5 mixed, Adam 5e-3 for 1,000 steps, noise .01 on the latents,
        # 50 views. There classes are mixed as embeddings, here as vectors, and the BigGAN is the
        # older one.
        "fusedream": {
            "generator": "biggan/deep-512",
            "option": ("start=class", "bound=2", "prior=none"),
            "perceptor": _CLIP,
            "steps": 1000,
            "lr": 0.005,
            "lr_end": 1.0,
            "optimizer": "adam",
            "cutouts": 50,
            "cutout_method": "fusedream",
            "cutout_noise": 0.0,
            "starts": 10_000,
            "mix": 5,
            "latent_noise": 0.01,
            "distance": "cosine",
            "prior": 0.0,
        },
        # The same for minutes on a CPU: fewer steps, and fewer starts of classes near the prompt.
        "fusedream-quick": {
            "generator": "biggan/deep-256",
            "option": ("start=ranked", "bound=2", "prior=none"),
            "perceptor": _CLIP,
            "steps": 150,
            "lr": 0.02,
            "lr_end": 0.1,
            "cutouts": 32,
            "cutout_method": "fusedream",
            "cutout_noise": 0.0,
            "starts": 64,
            "mix": 5,
            "latent_noise": 0.01,
            "distance": "cosine",
            "prior": 0.0,
        },
        # Repository nerdyrodent/VQGAN-CLIP: generate.py's defaults. The size is the 256 px that it
        # takes on a CPU; on a large GPU it takes 512 (--size 512).
        "vqgan-clip": {
            "generator": "vqgan/imagenet-f16-16384",
            "option": ("start=codes",),
            "perceptor": _CLIP,
            "steps": 500,
            "lr": 0.1,
            "lr_end": 1.0,
            "optimizer": "adam",
            "cutouts": 32,
            "cutout_method": "vqgan-clip",
            "cutout_noise": 0.1,
            "starts": 1,
            "size": "256",
            "distance": "spherical",
        },
        # Direct ascent synthesis, Fort & Whitaker 2025 (arXiv:2502.07753), and repository
        # zer0int/CLIP-Direct-Ascent-Synthesis: layers of every side from 1 to 336, plain gradient
        # descent, 64 crops of 224 of the 336 px, three CLIPs of one architecture and different
        # training, lettering and ghosts pushed away. There a sum of layers goes through tanh and
        # colours are RGB; here through a logistic function and decorrelated colours.
        "direct-ascent": {
            "generator": "pyramid",
            "option": ("scales=all", "start=grey", "detail=1", "saturation=2"),
            "perceptor": (
                "ViT-B-32/openai",
                "ViT-B-32/laion2b_s34b_b79k",
                "ViT-B-32/datacomp_xl_s13b_b90k",
            ),
            "negative": ("optical character recognition", "multiple exposure"),
            "negative_weight": 0.3,
            "steps": 100,
            "lr": 0.2,
            "lr_end": 1.0,
            "optimizer": "sgd",
            "cutouts": 64,
            "cutout_noise": 0.2,
            "cutout_whole": 0.0,
            "cutout_scale": "0.667,0.667",
            "starts": 1,
            "size": "336",
            "distance": "cosine",
            "prior": 0.0,
        },
        # CLIPAG, Ganz & Elad 2023 (arXiv:2306.16805), and repository royg27/CLIPAG: a robust CLIP
        # guides the pixels; AdamW .0175 for 100 steps, noise .01, crops of 128 of the 224 px that
        # weigh five times the whole views: here by their number. There the start is the best of
        # 1,000 draws of blurred Tiny ImageNet, colours change and parts are hidden (DiffAugment),
        # the gradient is clipped and values are scaled back into range; the CLIP is their own.
        "clipag": {
            "generator": "pixels",
            "perceptor": ("hf-hub:chs20/FARE4-ViT-B-32-laion2B-s34B-b79K",),
            "steps": 100,
            "lr": 0.0175,
            "lr_end": 1.0,
            "optimizer": "adamw",
            "cutouts": 64,
            "cutout_noise": 0.01,
            "cutout_whole": 0.167,
            "cutout_scale": "0.571,0.571",
            "starts": 1,
            "size": "224",
            "distance": "cosine",
            "prior": 0.0,
        },
        # The pyramid guided by the embedded CLIP whose image tower was trained on adversarial
        # pictures; works offline. It begins where a network trained on texts and drawings says, and
        # keeps the borders plain: one thing on paper, not a picture filled with parts of it.
        "paint": {
            "generator": "pyramid",
            "perceptor": ("embedded/robust",),
            "start_from": "predicted",
            "loss": ("background=0.5",),
        },
        # The same for the codes of the embedded VQGAN, from random ones; by eye. With one grid of
        # codes, or at lower rates, pictures end in speckles of a code's size.
        "paint-vqgan": {
            "generator": "vqgan/embedded",
            "option": ("start=smooth", "scales=4"),
            "perceptor": ("embedded/robust",),
            "size": "128",
            "steps": 80,
            "lr": 0.4,
            "cutouts": 6,
            "cutout_whole": 0.66,
            "cutout_scale": "0.55,0.9",
            "cutout_shift": 0.075,
            "loss": ("tv=0.1", "background=0.5"),
        },
    }
)


# Settings that join with the user's by name, as in NAME=VALUE.
_BY_NAME = ("option", "loss")
# Who gives one of these says where things are, so a preset's start and its layout give way.
_LAID_OUT = ("init_image", "init_run", "region")


def apply_preset(fields: Mapping[str, Any]) -> dict[str, Any]:
    """RunConfig fields with those of their `preset` below them.

    What is None counts as not named. Options and losses join by name. Left out are options and the
    start where the user chose another backend than the preset's, a start from words of a CLIP that
    does not guide, and both start and losses where the user gives a picture or regions.

    Raises:
        ConfigError: there is no such preset.
    """
    name = fields.get("preset")
    if not isinstance(name, str) or not name:
        return dict(fields)
    if name not in PRESETS:
        raise ConfigError(
            f"none is called {name!r}; there are {', '.join(PRESETS)} (guidegen presets)",
            field="preset",
        )
    below = dict(PRESETS[name])
    given = {key: value for key, value in fields.items() if value is not None}
    for field in _unfit(below, given):
        below.pop(field, None)
    for field in _BY_NAME:
        if field in below and field in given:
            own = _several(given[field])
            named = {_name(text) for text in own}
            rest = (text for text in below[field] if _name(text) not in named)
            given[field] = (*rest, *own)
    return {**fields, **below, **given}


def _unfit(below: Mapping[str, Any], given: Mapping[str, Any]) -> set[str]:
    """The preset's settings that do not go with what the user gave."""
    unfit: set[str] = set()
    generator = given.get("generator", below["generator"])
    if str(generator).partition("/")[0] != below["generator"].partition("/")[0]:
        unfit |= {"option", "start_from"}
    if not _families(below["perceptor"]) & _families(given.get("perceptor", below["perceptor"])):
        unfit.add("start_from")
    if "start" in {_name(text) for text in _several(given.get("option", ()))}:
        unfit.add("start_from")
    if any(given.get(field) for field in _LAID_OUT):
        unfit |= {"start_from", "loss"}
    return unfit


def _families(perceptors: Any) -> set[str]:
    """What stands before a slash in the names of CLIPs; "embedded" and its variants are one."""
    specs = map(str, _several(perceptors))
    return {spec.partition("@")[0].partition("/")[0] for spec in specs}


def _several(value: Any) -> tuple[object, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _name(text: object) -> str:
    return str(text).partition("=")[0].strip()

"""What `biggan/...` models tell about themselves: the cards, and that of imported weights."""

from collections.abc import Mapping
from typing import Any

from guidegen.backend import Defaults, GeneratorInfo, Option
from guidegen.errors import WeightsError

OPTIONS = {
    "classes": Option(
        "sigmoid",
        "class vectors: sigmoid with a prior for few, soft top-k, or one fixed class",
        choices=("sigmoid", "top-k", "fixed"),
    ),
    "max-classes": Option(15, "classes that top-k mixes", low=1, high=1000),
    "temperature": Option(2.0, "of top-k's softmax", low=0.01, high=100),
    "truncation": Option(
        1.0, "spread of z at the start, and which batch-norm statistics", low=0.02, high=1.0
    ),
    "start": Option(
        "ranked",
        "ranked: classes that CLIP finds near the prompt, one z for all blocks; class: so with one "
        "at random; random: as Big Sleep",
        choices=("ranked", "class", "random"),
    ),
    "prior": Option(
        "gaussian",
        "keeps z as in training: gaussian, or Big Sleep's moments; none",
        choices=("gaussian", "big-sleep", "none"),
    ),
    "latent-prior": Option(0.02, "weight of the prior of z", low=0, high=1000),
    "class-prior": Option(0.02, "weight of the prior for few classes", low=0, high=1000),
    "bound": Option(2.0, "largest |z|; 0 is none", low=0, high=100),
}


def card(name: str, summary: str, side: int, rows: int, *, licence: str) -> GeneratorInfo:
    """The card of one model.

    Args:
        name: as `--generator` takes it.
        summary: what it makes, in a few words.
        side: of its pictures in pixels.
        rows: L, places where z and class come in.
        licence: of the weights.
    """
    return GeneratorInfo(
        name=name,
        summary=summary,
        sizes=(side, side),
        default_size=side,
        latents={"z": f"[{rows}, 128]", "class_logits": f"[{rows}, 1000]"},
        licence=licence,
        source="BigGAN-deep, Brock et al. 2019 (arXiv:1809.11096); Big Sleep, Phil Wang 2021",
        defaults=Defaults(steps=200, lr=0.05, cutouts=32, starts=16, noise=0.05),
        options=OPTIONS,
    )


def describe(name: str, config: Mapping[str, Any]) -> GeneratorInfo:
    """The card of imported weights that are none of ours; see `guidegen.backend.Backend`.

    Raises:
        WeightsError: the config is no BigGAN's.
    """
    try:
        side, rows = int(config["output_dim"]), 1 + len(config["layers"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the config.json of {name} is no BigGAN's ({type(error).__name__}: {error}); "
            "import it again: guidegen models import"
        ) from None
    return card(name, f"a BigGAN of your own, {side} px", side, rows, licence="that of its source")


_UNSTATED = "weights: not stated (DeepMind's, converted by Hugging Face; code MIT)"
VARIANTS = {
    f"deep-{side}": card(
        f"biggan/deep-{side}",
        f"the 1,000 things of ImageNet and what lies between them, {side} px",
        side,
        rows,
        licence=_UNSTATED,
    )
    for side, rows in ((128, 11), (256, 13), (512, 15))
}

"""What `vqgan/...` models tell about themselves: the cards, and that of imported weights."""

from collections.abc import Mapping
from typing import Any

from guidegen.backend import Defaults, GeneratorInfo, Option
from guidegen.errors import WeightsError

_SOURCE = (
    "VQGAN, Esser et al. 2021 (arXiv:2012.09841); VQGAN-CLIP, Crowson et al. 2022 (2204.08583)"
)
_UNSTATED = "weights: not stated"
STARTS = ("codes", "smooth", "noise", "gradient", "plain")
SMALLEST, LARGEST = 64, 2048


def factor(config: Mapping[str, Any]) -> int:
    """Pixels per code along a side: 8 for "f8", 16 for "f16"."""
    return int(2 ** (len(config["ddconfig"]["ch_mult"]) - 1))


def card(
    name: str,
    summary: str,
    *,
    f: int,
    width: int = 256,
    size: int = 256,
    licence: str = _UNSTATED,
    defaults: Defaults | None = None,
) -> GeneratorInfo:
    """The card of one model.

    Args:
        name: as `--generator` takes it.
        summary: what it makes, in a few words.
        f: pixels per code along a side.
        width: length of a codebook entry.
        size: side in pixels where none is asked for.
        licence: of the weights.
        defaults: of the loop; None is what suits the published models.
    """
    return GeneratorInfo(
        name=name,
        summary=summary,
        sizes=(SMALLEST, LARGEST),
        default_size=size,
        multiple=f,
        latents={"z": f"[{width}, H/{f}, W/{f}]"},
        licence=licence,
        source=_SOURCE,
        encodes=True,
        defaults=defaults or Defaults(steps=300, lr=0.1, cutouts=32, starts=1, noise=0.1),
        options={
            "start": Option(
                "codes",
                "random codes, smooth ones, or an encoded picture: noise, gradient, plain (colour)",
                choices=STARTS,
            ),
            "scales": Option(
                1, "grids of latents that are summed, each half as fine as the last", low=1, high=6
            ),
        },
    )


def describe(name: str, config: Mapping[str, Any]) -> GeneratorInfo:
    """The card of imported weights that are none of ours; see `guidegen.backend.Backend`.

    Raises:
        WeightsError: the config is no VQGAN's.
    """
    try:
        f, width = factor(config), int(config["embed_dim"])
        summary = f"{config['kind']} of your own, f{f}, {config['n_embed']} codes"
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the config.json of {name} is no VQGAN's ({type(error).__name__}: {error}); "
            "import it again: guidegen models import"
        ) from None
    return card(name, summary, f=f, width=width)


VARIANTS = {
    info.name.removeprefix("vqgan/"): info
    for info in (
        card(
            "vqgan/embedded",
            "a small one that ships: soft shapes in the style of icons and clip art; offline",
            f=8,
            width=32,
            size=192,
            licence="MIT (trained on MIT, Apache-2.0 and public-domain drawings)",
            defaults=Defaults(
                steps=30, lr=0.02, cutouts=8, starts=12, noise=0.05, start_from="collage"
            ),
        ),
        card("vqgan/imagenet-f16-16384", "anything; the usual choice of VQGAN + CLIP", f=16),
        card("vqgan/imagenet-f16-1024", "anything; rougher and more painterly", f=16),
        card("vqgan/openimages-gumbel-f8", "anything; the sharpest detail", f=8),
        card("vqgan/wikiart-16384", "paintings", f=16),
        card("vqgan/wikiart-1024", "paintings, in rougher strokes", f=16),
        card("vqgan/sflckr", "landscapes and skies", f=16),
        card("vqgan/coco", "everyday scenes with several things in them", f=16),
        card("vqgan/faceshq", "faces", f=16),
        card("vqgan/sber-gumbel-f8", "anything; faces and lettering, too", f=8),
    )
}

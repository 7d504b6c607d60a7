"""A program of somebody who has installed guidegen, as a strict type checker reads it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_type

import torch
from PIL import Image
from torch import Tensor

import guidegen
from guidegen.backend import Backend, Defaults, GeneratorInfo, LossInfo, Option
from guidegen.errors import ConfigError, GuidegenError
from guidegen.interfaces import (
    Decoded,
    Generator,
    Images,
    Latents,
    LossContext,
    Preference,
    Step,
    Viewed,
    Vocabulary,
)

CARD = GeneratorInfo(
    name="mosaic",
    summary="tiles",
    sizes=(24, 2048),
    default_size=384,
    options={"tiles": Option(12, "tiles a side", low=2, high=64)},
    defaults=Defaults(steps=100),
)
MOSAIC = Backend(name="mosaic", variants={"": CARD}, target="consumer:build")
DARK = LossInfo(name="dark", summary="lightness", target="consumer:build_dark")


class Mosaic:
    """A generator of one's own."""

    vocabulary: Vocabulary | None = None
    digest = ""

    def __init__(self, info: GeneratorInfo, size: tuple[int, int], tiles: int) -> None:
        self.info, self.size, self.tiles = info, size, tiles

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        drawn = [torch.rand(3, self.tiles, self.tiles, generator=rng) for rng in rngs[:batch]]
        return {"tiles": torch.stack(drawn)}

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        return torch.nn.functional.interpolate(latents["tiles"], size=size or self.size)

    def constrain_(self, latents: Latents) -> None:
        latents["tiles"].data.clamp_(0, 1)

    def prior(self, latents: Latents) -> Tensor:
        return torch.zeros(len(latents["tiles"]))


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, object],
) -> Generator:
    tiles = options["tiles"]
    assert isinstance(tiles, int)
    return Mosaic(info, size, tiles)


class Dark:
    """A loss of one's own."""

    def image_loss(self, decoded: Decoded) -> Tensor:
        return decoded.images.mean((1, 2, 3))

    def view_loss(self, viewed: Viewed) -> Tensor:
        return viewed.features.square().sum(1)


def build_dark(info: LossInfo, context: LossContext) -> Dark:
    return Dark()


def watch(step: Step) -> str | None:
    """Ends a run."""
    return "good enough" if float(step.losses["total"].min()) < 0.5 else None


def draw(folder: Path) -> Image.Image:
    """One picture, several, one step by step, and what they show."""
    stop = guidegen.Stop()
    one = guidegen.generate("a red apple", seed=7, out=folder, recorders=[watch], stop=stop)
    assert_type(one, guidegen.Picture)
    several = guidegen.generate(["a fox", "an owl"], generator="pixels", size=(64, 48), steps=3)
    assert_type(several, list[guidegen.Picture])
    with guidegen.stream("a lighthouse", count=2, lr=0.05, loss=["tv=0.3"]) as running:
        for step in running:
            assert_type(step, guidegen.StreamStep)
            step.preview(64).save(folder / f"{step.index}.png")
            if step.index == 10:
                running.stop()
    for found in guidegen.classify([str(folder)], ["a fox", "an owl"], top=1):
        if found.error:
            print(found.path, found.error)
    return several[0].image


def try_to_draw() -> str:
    """Errors are named by their setting."""
    try:
        draw(Path("pictures"))
    except ConfigError as error:
        return error.field
    except GuidegenError as error:
        return f"{error} ({error.exit_code})"
    return ""

"""Cutouts: the random views of an image that CLIP sees.

Every random number comes from the candidate's own CPU generator, so a candidate's cutouts do not
depend on its neighbours or on the device. A method samples the parameters of a step's cutouts once
and takes them in parts, as often as it is asked: with the same parameters it takes the same pixels.
"""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from guidegen.cutouts.big_sleep import BigSleepCutouts
from guidegen.cutouts.fusedream import FuseDreamCutouts
from guidegen.cutouts.views import (
    ChangingCutouts,
    CutoutSettings,
    ViewParameters,
    sample_views,
    take_views,
)
from guidegen.cutouts.vqgan_clip import VqganClipCutouts
from guidegen.errors import ConfigError

__all__ = [
    "BigSleepCutouts",
    "ChangingCutouts",
    "CutoutParameters",
    "CutoutSettings",
    "Cutouts",
    "FuseDreamCutouts",
    "ViewParameters",
    "VqganClipCutouts",
    "make_cutouts",
    "sample_views",
    "take_views",
]


class CutoutParameters(Protocol):
    """The parameters of one step's cutouts, n for each of B candidates."""

    def rows(self, index: slice) -> Self:
        """Those of some candidates."""


class Cutouts(Protocol):
    """A way to cut views out of images."""

    @property
    def count(self) -> int:
        """Cutouts n per candidate and step."""

    def sample(self, *, rngs: Sequence[torch.Generator], size: int, aspect: float = 1.0) -> Any:
        """Sample the parameters of one step, `CutoutParameters`.

        Args:
            rngs: one CPU generator per candidate.
            size: side S of the cutouts in pixels.
            aspect: image width over height.
        """

    def take(
        self, images: Tensor, parameters: Any, *, size: int, chunk: slice | None = None
    ) -> Tensor:
        """Cut, differentiably in the images.

        Args:
            images: [B, 3, H, W] in [0, 1].
            parameters: what `sample` returned, for these B candidates.
            size: side S of the cutouts in pixels.
            chunk: which of the B·n cutouts to take, candidate-major; None is all.

        Returns:
            [m, 3, S, S]; not clamped.
        """


def make_cutouts(
    method: str,
    *,
    count: int,
    noise: float,
    whole: float | None = None,
    scale: tuple[float, float] | None = None,
    shift: float | None = None,
    last_scale: tuple[float, float] | None = None,
) -> Cutouts:
    """The method that a config names.

    Args:
        method: "views", "big-sleep", "vqgan-clip" or "fusedream".
        count: cutouts per candidate and step.
        noise: highest standard deviation of the noise added to each.
        whole: share of views that show the whole picture.
        scale: smallest and largest side of the others, in parts of the shorter side.
        shift: how far whole views are shifted and enlarged, in parts of the picture.
        last_scale: what `scale` has become by the last step; None where it stays.

    Raises:
        ConfigError: noise for big-sleep or fusedream, whose cutouts have none; or settings of
            "views" for another method, whose cutouts are as published.
    """
    if method == "views":
        own = CutoutSettings()
        settings = CutoutSettings(
            count=count,
            noise=noise,
            overview=own.overview if whole is None else whole,
            scale=scale or own.scale,
            shift=own.shift if shift is None else shift,
        )
        return settings if last_scale is None else ChangingCutouts(settings, last_scale)
    published = {"whole": whole, "scale": scale, "shift": shift, "scale_end": last_scale}
    for name, value in published.items():
        if value is not None:
            raise ConfigError(
                f"{method}'s cutouts are as published; leave it out", field=f"cutout_{name}"
            )
    if method == "fusedream":
        if noise:
            raise ConfigError(
                "fusedream's cutouts have no noise; leave it out", field="cutout_noise"
            )
        return FuseDreamCutouts(count=count)
    if method == "vqgan-clip":
        return VqganClipCutouts(count=count, noise=noise)
    if noise:
        raise ConfigError("big-sleep's cutouts have no noise; leave it out", field="cutout_noise")
    return BigSleepCutouts(count=count)

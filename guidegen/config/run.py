"""Everything that decides one picture, and the digest that finds it again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from guidegen.config import init_run
from guidegen.config.picture import PictureConfig
from guidegen.config.settings import RunSettings
from guidegen.prompt.references import parse_image_prompt
from guidegen.prompt.regions import Region

# Settings that name places, or say how long and how visibly to draw; no pixel of a step depends on
# them, so two pictures that differ only here are one.
NOT_PIXELS = frozenset(
    [
        "out",
        "metadata",
        "save_every",
        "trajectory",
        "video",
        "preview",
        "minutes",
        "preset",
        "upscale",
    ]
)
# What decided the pixels when digests were first written, in the order of then. Settings that came
# later count only where they are set, so that runs of before are still found and go on.
_FIRST_SETTINGS = (
    "prompt", "negative", "negative_weight", "image_prompt", "noise_prompt", "template",
    "generator", "option", "perceptor", "seed", "steps", "cutouts", "cutout_batch",
    "cutout_method", "cutout_noise", "starts", "size", "lr", "lr_end", "optimizer", "distance",
    "prior", "init_weight", "ema", "zoom", "shift", "rotate", "move_every", "init_image", "device",
    "precision", "generator_precision",
)  # fmt: skip
# What settings that came later amount to in runs from before there were any.
_AS_BEFORE = {
    "cutout_whole": 0.5, "cutout_scale": "0.5,0.95", "cutout_shift": 0.0, "start_from": "none",
}  # fmt: skip


class RunConfig(RunSettings, PictureConfig, defer_build=False):
    """Everything that decides one picture: its own settings and those that a batch shares.

    Flags, TOML keys, API arguments and the metadata of pictures are its fields.
    """

    def digest(self, models: Mapping[str, str] | None = None) -> str:
        """SHA-256 over everything that changes the pixels.

        Args:
            models: name -> digest of the weights in use; they change the pixels too.
        """
        fields = self._deciding(mode="json")
        for name, value in _AS_BEFORE.items():
            if fields.get(name) == value:
                del fields[name]
        if self.init_image is not None and self.init_image.is_file():
            # The same path may hold another picture tomorrow.
            fields["init_image"] = hashlib.sha256(self.init_image.read_bytes()).hexdigest()
        if self.predictor is not None:  # its weights are among the models
            fields["start_from"] = "predicted"
        if self.init_run is not None:
            fields["init_run"] = init_run.by_content(self.init_run)
        fields["image_prompt"] = [_by_content(text) for text in self.image_prompt]
        if self.mask is not None and self.mask.is_file():
            fields["mask"] = hashlib.sha256(self.mask.read_bytes()).hexdigest()
        if self.palette is not None:
            fields["palette"] = _option_by_content(f"palette={self.palette}")
        if self.region:
            fields["region"] = [_region_by_content(one) for one in self.regions()]
        if self.loss_option:
            fields["loss_option"] = [_option_by_content(text) for text in self.loss_option]
        text = json.dumps({"config": fields, "models": dict(models or {})}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def key(self) -> bytes:
        """Equal for configs that ask for the same picture; quicker than `digest`."""
        return to_json(self._deciding(mode="python"))

    def _deciding(self, *, mode: str) -> dict[str, Any]:
        """The settings that decide the pixels."""
        values = self.model_dump(mode=mode, exclude=set(NOT_PIXELS))
        first = {name: values.pop(name) for name in _FIRST_SETTINGS}
        defaults = RunConfig.model_fields
        later = {n: v for n, v in values.items() if getattr(self, n) != defaults[n].default}
        return {**first, **later}


def _by_content(text: str) -> list[object]:
    """An image prompt with its picture's SHA-256 for its path."""
    image = parse_image_prompt(text)
    if not image.path.is_file():
        return [text]
    return [hashlib.sha256(image.path.read_bytes()).hexdigest(), image.weight, str(image.stop)]


def _region_by_content(region: Region) -> list[object]:
    """A region, with the SHA-256 of its mask for its path."""
    place: object = region.box
    if region.mask is not None and region.mask.is_file():
        place = hashlib.sha256(region.mask.read_bytes()).hexdigest()
    return [region.text, place, str(region.schedule)]


def _option_by_content(text: str) -> str:
    """An option of a loss, with the SHA-256 of the file that its value names in place of that."""
    name, _, value = text.partition("=")
    try:
        return f"{name}={hashlib.sha256(Path(value.strip()).read_bytes()).hexdigest()}"
    except (OSError, ValueError):  # most values name no file
        return text

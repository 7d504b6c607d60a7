"""RunConfig: one model for flags, TOML keys, API arguments, image metadata and job records.

Torch-free: everything here is read before any work starts.
"""

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import to_json

from guidegen.errors import ConfigError, GuidegenError
from guidegen.presets import PRESETS, apply_preset
from guidegen.prompt.grammar import parse_scenes
from guidegen.prompt.loss_terms import parse_loss_terms
from guidegen.prompt.references import MAX_SEED, parse_image_prompt, parse_noise_prompt
from guidegen.utils.parse import parse_toml

__all__ = [
    "DRAW", "MAX_SEED", "MAX_SIDE", "NOT_PIXELS", "PictureConfig", "ResolvedConfig",
    "ResolvedSettings", "RunConfig", "RunSettings", "UpscaleFactor", "make_config", "make_configs",
    "read_toml", "to_toml",
]  # fmt: skip

MAX_SIDE = 4096
# A seed that draws one, as in AUTOMATIC1111's web UI. The default is a fixed seed: the same call,
# the same picture.
DRAW = -1
# Seeds that are drawn stay short enough to be typed.
_DRAWN_SEEDS = 2**32
MAX_TEXT = 10_000  # characters of a prompt
# How many times as large a picture can be made once it is finished; 1 leaves it.
UpscaleFactor = Literal[1, 2, 3, 4]
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


class _Model(BaseModel):
    """Immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class PictureConfig(_Model):
    """What one picture has of its own among those that advance together."""

    prompt: str = Field(description="What to draw: text:weight:stop, parts joined by |.")
    negative: tuple[str, ...] = Field((), description="What to push away from; may be repeated.")
    image_prompt: tuple[str, ...] = Field(
        (), description="Picture to resemble: PATH, PATH:WEIGHT or PATH:WEIGHT:STOP; repeatable."
    )
    noise_prompt: tuple[str, ...] = Field(
        (), description="Random direction in CLIP's space, SEED:WEIGHT; may be repeated."
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Fixes the random numbers of this picture.")

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        _check_text("the prompt", value)
        parse_scenes(value)
        return value.strip()

    @field_validator("negative", mode="before")
    @classmethod
    def _one_or_more_texts(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("image_prompt", "noise_prompt", mode="before")
    @classmethod
    def _paths_and_seeds(cls, value: object) -> object:
        several = value if isinstance(value, list | tuple) else (value,)
        return tuple(map(_as_text, several))

    @field_validator("image_prompt", "noise_prompt")
    @classmethod
    def _other_prompts(cls, value: tuple[str, ...], about: ValidationInfo) -> tuple[str, ...]:
        for text in value:
            _check_text(f"the {str(about.field_name).replace('_', ' ')}", text)
            if about.field_name == "image_prompt":
                parse_image_prompt(text)
            else:
                parse_noise_prompt(text)
        return value

    @field_validator("negative")
    @classmethod
    def _negative(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            _check_text("a negative prompt", text)
            if not text.strip():
                raise ValueError("a negative prompt is empty")
        return value


class RunSettings(_Model):
    """What pictures that advance together share.

    None means "what suits the generator" (see `guidegen generators`).
    """

    negative_weight: float = Field(
        0.5, gt=0, le=1000, description="How strongly negative prompts push away."
    )
    preset: str = Field("", description=f"Settings below your own: {', '.join(PRESETS)}.")
    template: str = Field(
        "", description="Words around the prompt: 'a photo of {}', or 'imagenet' for 80 averaged."
    )
    generator: str = Field("collage", description="Backend, or backend/variant.")
    option: tuple[str, ...] = Field(
        (), description="NAME=VALUE of the generator (guidegen generators); may be repeated."
    )
    perceptor: tuple[str, ...] = Field(
        ("embedded",),
        min_length=1,
        description="CLIP: NAME/TAG, local-dir:PATH or embedded (/robust); @WEIGHT; repeatable.",
    )
    steps: int | None = Field(None, ge=0, le=1_000_000, description="Optimiser steps.")
    cutouts: int | None = Field(None, ge=1, le=4096, description="Crops that CLIP sees each step.")
    cutout_batch: int = Field(
        32, ge=1, le=4096, description="Cutouts sent through CLIP at once; bounds memory."
    )
    cutout_method: Literal["views", "big-sleep", "vqgan-clip"] = Field(
        "views", description="Our own cutouts, or those of another program."
    )
    cutout_noise: float | None = Field(
        None, ge=0, le=1, description="Highest deviation of the noise on each cutout."
    )
    cutout_whole: float | None = Field(
        None, ge=0, le=1, description="Share of the cutouts that show the whole picture."
    )
    cutout_scale: str | None = Field(
        None, description="LOW,HIGH: sides of the other cutouts, in parts of the shorter side."
    )
    cutout_shift: float | None = Field(
        None, ge=0, le=0.5, description="How far whole cutouts are moved, in parts of the picture."
    )
    starts: int | None = Field(None, ge=1, le=4096, description="Starts drawn; the best goes on.")
    size: str | None = Field(None, description="Picture size in pixels: 512 or WIDTHxHEIGHT.")
    lr: float | None = Field(None, gt=0, le=100, allow_inf_nan=False, description="Learning rate.")
    lr_end: float = Field(
        0.1, ge=0, le=1, description="Last learning rate as a part of the first; 1: constant."
    )
    optimizer: Literal["adam", "adamw", "radam", "nadam", "sgd"] = Field(
        "adam", description="Any of torch.optim's that is named here."
    )
    distance: Literal["spherical", "cosine", "big-sleep"] = Field(
        "spherical", description="How far image and text features are apart."
    )
    prior: float = Field(
        1.0, ge=0, le=1000, description="Weight of the generator's own regulariser."
    )
    init_weight: float = Field(
        0.0, ge=0, le=1_000_000, description="How strongly to stay near the start."
    )
    loss: tuple[str, ...] = Field(
        (),
        description="What else counts: NAME=WEIGHT, or NAME=WEIGHT:FROM:TO for a part of the run, "
        "like tv=0.3:0.5:1; may be repeated.",
    )
    ema: float = Field(
        0.0, ge=0, lt=1, description="Decay of the latents' moving average that is shown; 0: none."
    )
    zoom: float = Field(1.0, ge=0.5, le=2.0, description="Magnify at every move; 1.05 flies in.")
    shift: str = Field("0,0", description="RIGHT,DOWN in parts of the picture, at every move.")
    rotate: float = Field(0.0, ge=-180, le=180, description="Degrees anticlockwise at every move.")
    move_every: int = Field(
        10, ge=1, le=1_000_000, description="Steps between two moves: zoom, shift and rotate."
    )
    start_from: str | None = Field(
        None, description="Generator whose picture the run starts from, or none."
    )
    init_image: Path | None = Field(None, description="Picture to start from.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Arithmetic of CLIP; auto is what is fastest here without harm."
    )
    generator_precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Arithmetic of the generator."
    )
    save_every: int = Field(
        20, ge=1, le=1_000_000, description="Steps between two saves of the state to go on from."
    )
    trajectory: int = Field(
        32,
        ge=0,
        le=100_000,
        description="Megabytes of latents over time that a picture keeps for videos; 0: none.",
    )
    out: Path = Field(
        Path("outputs"),
        description="Folder for run directories, or a .png, .jpg or .webp file; the run then goes "
        "to outputs/ beside it.",
    )
    upscale: UpscaleFactor = Field(
        1, description="Also write the picture 2, 3 or 4 times as large, image-2x.png."
    )
    minutes: float | None = Field(
        None, gt=0, le=100_000, description="Finish with the best picture after so many minutes."
    )
    until_loss: float | None = Field(
        None, allow_inf_nan=False, description="Finish at the first step whose loss is this low."
    )
    preview: bool = Field(True, description="Keep a small preview.png up to date while drawing.")
    video: bool = Field(False, description="Write a video of the run, progress.mp4, as it goes.")
    metadata: bool = Field(True, description="Write prompt, config and AI marking into the PNG.")

    @field_validator("perceptor", "option", "loss", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("loss")
    @classmethod
    def _loss(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(str, parse_loss_terms(value)))

    @field_validator("template")
    @classmethod
    def _template(cls, value: str) -> str:
        _check_text("the template", value)
        if value and value != "imagenet" and "{}" not in value:
            raise ValueError("a template needs {} where the prompt goes, like 'a photo of {}'")
        return value

    @field_validator("size", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        if value is None:
            return None
        text = str(value).lower().strip()
        if not re.fullmatch(r"\d{1,6}(x\d{1,6})?", text):
            raise ValueError(f"{value!r} is no size; write 512 or 640x384")
        if not all(16 <= int(side) <= MAX_SIDE for side in text.split("x")):
            raise ValueError(f"sides must be between 16 and {MAX_SIDE} pixels, not {text}")
        return text

    @field_validator("start_from")
    @classmethod
    def _start_from(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("name a generator, or none")
        return value

    @field_validator("cutout_scale")
    @classmethod
    def _cutout_scale(cls, value: str | None) -> str | None:
        if value is not None and not 0.05 <= _pair(value)[0] <= _pair(value)[1] <= 1:
            raise ValueError(f"{value!r} is no range of sizes; write LOW,HIGH like 0.5,0.95")
        return value

    @field_validator("shift")
    @classmethod
    def _shift(cls, value: str) -> str:
        try:
            right, down = (float(part) for part in value.split(","))
        except ValueError:
            raise ValueError(f"{value!r} is no shift; write RIGHT,DOWN like 0.02,-0.01") from None
        if not (abs(right) <= 1 and abs(down) <= 1):
            raise ValueError(f"a shift is at most the whole picture, 1, not {value}")
        return value

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", value):
            raise ValueError(f"{value!r} is no device; use auto, cpu, cuda, cuda:1 or mps")
        return value

    def height_width(self) -> tuple[int, int] | None:
        """The size as (height, width) in pixels, or None for the generator's own."""
        return None if self.size is None else _height_width(self.size)

    @property
    def moves(self) -> bool:
        """Whether the picture is zoomed, shifted or turned while it is made."""
        return self.zoom != 1 or self.rotate != 0 or self.shift_xy() != (0, 0)

    @property
    def first_generator(self) -> str | None:
        """The generator whose picture the run starts from; None where there is none."""
        return None if self.start_from == "none" else self.start_from

    def cutout_sides(self) -> tuple[float, float] | None:
        """Smallest and largest side of the cutouts that are not whole; None where unset."""
        return None if self.cutout_scale is None else _pair(self.cutout_scale)

    def shift_xy(self) -> tuple[float, float]:
        """The shift as (right, down)."""
        right, down = (float(part) for part in self.shift.split(","))
        return right, down


class RunConfig(RunSettings, PictureConfig):
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
        fields["image_prompt"] = [_by_content(text) for text in self.image_prompt]
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


class ResolvedSettings(RunSettings):
    """Shared settings in which no default is missing."""

    steps: int
    cutouts: int
    cutout_noise: float
    starts: int
    size: str
    lr: float

    def height_width(self) -> tuple[int, int]:
        """The size as (height, width) in pixels."""
        return _height_width(self.size)


class ResolvedConfig(ResolvedSettings, RunConfig):
    """What is really used for one picture; written flat, as the RunConfig that reads it back."""

    @property
    def picture(self) -> PictureConfig:
        """What the picture has of its own."""
        return PictureConfig(**{name: getattr(self, name) for name in PictureConfig.model_fields})

    @property
    def settings(self) -> ResolvedSettings:
        """What it shares with others that advance with it."""
        names = ResolvedSettings.model_fields
        return ResolvedSettings(**{name: getattr(self, name) for name in names})


def _height_width(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(height or width), int(width)


def _pair(text: str) -> tuple[float, float]:
    """Two numbers with a comma between them; (nan, nan) where it is none."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return math.nan, math.nan
    return low, high


def _as_text(value: object) -> object:
    """A path or seed given from Python, as the grammar writes it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value).replace(":", "\\:")
    return str(value) if type(value) is int else value


def _by_content(text: str) -> list[object]:
    """An image prompt with its picture's SHA-256 for its path."""
    image = parse_image_prompt(text)
    if not image.path.is_file():
        return [text]
    return [hashlib.sha256(image.path.read_bytes()).hexdigest(), image.weight, str(image.stop)]


def _check_text(what: str, text: str) -> None:
    """Refuse what no file format can hold: NUL, and bytes of a shell word that were not UTF-8."""
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"{what} has {len(text):,} characters; at most {MAX_TEXT:,} are taken, and CLIP reads "
            "some 300"
        )
    if "\0" in text:
        raise ValueError(f"{what} holds a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError(f"{what} is not valid UTF-8")


Overrides = Annotated[dict[str, Any], "RunConfig fields that the user named"]


def make_config(fields: Mapping[str, Any]) -> RunConfig:
    """Build a RunConfig, its preset below what `fields` names; the seed -1 draws one.

    Raises:
        ConfigError: a field is wrong or unknown; one line that names each.
    """
    if fields.get("seed") == DRAW:
        fields = {**fields, "seed": secrets.randbelow(_DRAWN_SEEDS)}
    try:
        return RunConfig(**apply_preset(fields))
    except ValidationError as error:
        problems = error.errors()
        inner = problems[0].get("ctx", {}).get("error")
        if len(problems) == 1 and isinstance(inner, GuidegenError):
            inner.field = inner.field or _name(problems[0])
            raise inner from None
        raise ConfigError.of(map(_explain, problems)) from None


def make_configs(fields: Mapping[str, Any], *, count: int) -> list[RunConfig]:
    """`count` RunConfigs with consecutive seeds.

    Raises:
        ConfigError: as `make_config`, or the count is below 1 or leads beyond the last seed.
    """
    base = make_config(fields)
    if count < 1:
        raise ConfigError(f"draw at least 1 picture, not {count}", field="count")
    if base.seed + count - 1 > MAX_SEED:
        highest = MAX_SEED - count + 1
        raise ConfigError(f"with {count} pictures the first can be {highest}", field="seed")
    return [base.model_copy(update={"seed": base.seed + number}) for number in range(count)]


def _name(problem: Any) -> str:
    return ".".join(str(part) for part in problem["loc"])


def _explain(problem: Any) -> tuple[str, str]:
    """The field and what is wrong with it."""
    name = _name(problem)
    if problem["type"] == "extra_forbidden":
        return "", f"unknown setting {name!r}; see guidegen generate --help"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "value_error":  # ours, which say what they got
        return name, message
    got = repr(problem.get("input"))
    got = got if len(got) <= 200 else f"{got[:200]}..."
    return name, f"{message[:1].lower()}{message[1:]} (got {got})"


def read_toml(path: Path) -> Overrides:
    """Settings from a TOML file whose keys are RunConfig's fields.

    Raises:
        ConfigError: the file is missing, no TOML, or a setting is unknown or wrong.
    """
    try:
        # not only ordinary files: a shell's <(...) is a pipe
        values = parse_toml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"no config file at {path}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't read the config file {path}: {error}") from None
    for key in values:
        if key not in RunConfig.model_fields:
            raise ConfigError(f"{path}: unknown setting {key!r}; see guidegen generate --help")
    try:
        # the command line takes seeds that no config has
        make_config({"prompt": "a prompt", **values, "seed": 0})
    except ConfigError as error:
        in_file = type(error)(f"{path}: {error}")
        in_file.field = error.field
        raise in_file from None
    return values


def to_toml(config: RunConfig) -> str:
    """The config as a TOML file that `read_toml` takes back; None fields are left out."""
    lines = []
    for key, value in config.model_dump(mode="json", exclude_none=True).items():
        # JSON strings, numbers, booleans and lists of strings are TOML as they stand, but for DEL.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"

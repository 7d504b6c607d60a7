"""The settings that pictures of one batch share."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from guidegen.config.picture import MAX_STARTS, Model
from guidegen.config.schedules import ScheduleSettings
from guidegen.config.search import SearchSettings
from guidegen.config.values import check_text, height_width, pair
from guidegen.config.where import WhereSettings
from guidegen.presets import PRESETS
from guidegen.prompt.loss_terms import parse_loss_option, parse_loss_terms

MAX_SIDE = 4096
# How many times as large a picture can be made once it is finished; 1 leaves it.
UpscaleFactor = Literal[1, 2, 3, 4]


class RunSettings(Model, WhereSettings, ScheduleSettings, SearchSettings, defer_build=True):
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
    cutout_method: Literal["views", "big-sleep", "vqgan-clip", "fusedream"] = Field(
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
    starts: int | None = Field(
        None, ge=1, le=MAX_STARTS, description="Starts drawn; the best goes on."
    )
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
        "like tv=0.3:0.5:1; may be repeated (guidegen losses).",
    )
    loss_option: tuple[str, ...] = Field(
        (), description="LOSS.NAME=VALUE, like palette.colours=red,navy; may be repeated."
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
        None,
        description="Generator whose picture the run starts from; predicted or predicted:FOLDER, "
        "by a network from the prompt; or none.",
    )
    init_image: Path | None = Field(None, description="Picture to start from.")
    init_run: str | None = Field(
        None, description="Run to start from, RUN or RUN@STEP: where its latents were."
    )
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

    @field_validator("perceptor", "option", "loss", "loss_option", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("loss")
    @classmethod
    def _loss(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(str, parse_loss_terms(value)))

    @field_validator("loss_option")
    @classmethod
    def _loss_option(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            check_text("an option of a loss", text)
            parse_loss_option(text)
        return value

    @field_validator("template")
    @classmethod
    def _template(cls, value: str) -> str:
        check_text("the template", value)
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
            raise ValueError("name a generator, predicted, or none")
        if value is not None and value.rstrip() == "predicted:":
            raise ValueError("name the predictor's folder, predicted:FOLDER, or leave the colon")
        return value

    @field_validator("cutout_scale")
    @classmethod
    def _cutout_scale(cls, value: str | None) -> str | None:
        if value is not None and not 0.05 <= pair(value)[0] <= pair(value)[1] <= 1:
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
        return None if self.size is None else height_width(self.size)

    @property
    def moves(self) -> bool:
        """Whether the picture is zoomed, shifted or turned while it is made."""
        return self.zoom != 1 or self.rotate != 0 or self.shift_xy() != (0, 0)

    @property
    def first_generator(self) -> str | None:
        """The generator whose picture the run starts from; None where there is none."""
        return None if self.start_from == "none" or self.predictor is not None else self.start_from

    @property
    def predictor(self) -> str | None:
        """Folder of what predicts the start, "" for the embedded one; None where nothing does."""
        return predictor_in(self.start_from)

    def cutout_sides(self) -> tuple[float, float] | None:
        """Smallest and largest side of the cutouts that are not whole; None where unset."""
        return None if self.cutout_scale is None else pair(self.cutout_scale)

    def shift_xy(self) -> tuple[float, float]:
        """The shift as (right, down)."""
        right, down = (float(part) for part in self.shift.split(","))
        return right, down


def predictor_in(start_from: str | None) -> str | None:
    """What `RunSettings.predictor` is for a value of `start_from`."""
    kind, _, folder = (start_from or "").partition(":")
    return folder if kind == "predicted" else None

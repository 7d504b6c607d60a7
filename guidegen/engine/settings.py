"""Settings as Python code gives them: typed for editors, and in Python's own kinds. Torch-free."""

import atexit
import hashlib
import io
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeGuard

from guidegen.utils.files import write_atomic

if TYPE_CHECKING:
    from PIL import Image

    # A picture: its path, or one that is loaded.
    Pictured: TypeAlias = "str | PathLike[str] | Image.Image"

_Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]


class Settings(TypedDict, total=False):
    """Every field of `guidegen.RunConfig` but the prompt, which see."""

    negative: str | Sequence[str]
    negative_weight: float
    image_prompt: "Pictured | Sequence[Pictured]"
    noise_prompt: str | int | Sequence[str | int]
    preset: str
    template: str
    generator: str
    option: str | Sequence[str]
    perceptor: str | Sequence[str]
    seed: int
    pick: int | None
    steps: int
    cutouts: int
    cutout_batch: int
    cutout_method: Literal["views", "big-sleep", "vqgan-clip", "fusedream"]
    cutout_noise: float
    cutout_whole: float
    cutout_scale: str
    cutout_scale_end: str
    cutout_shift: float
    starts: int
    mix: int
    latent_noise: float
    evolve: int
    evolve_steps: int
    population: int
    size: int | str | tuple[int, int]
    lr: float
    lr_end: float
    lr_warmup: float
    coarse_to_fine: int
    judge: str
    judge_every: int
    patience: int | None
    optimizer: Literal["adam", "adamw", "radam", "nadam", "sgd"]
    distance: Literal["spherical", "cosine", "big-sleep"]
    prior: float
    init_weight: float
    loss: str | Sequence[str]
    loss_option: str | Sequence[str]
    ema: float
    zoom: float
    shift: str | tuple[float, float]
    rotate: float
    move_every: int
    init_image: "Pictured"
    mask: "Pictured"
    outpaint: str | tuple[int, int, int, int]
    region: str | Sequence[str]
    palette: str
    init_run: str
    start_from: str
    device: str
    precision: _Precision
    generator_precision: _Precision
    save_every: int
    trajectory: int
    out: str | PathLike[str] | None
    upscale: Literal[1, 2, 3, 4]
    minutes: float | None
    until_loss: float | None
    preview: bool
    video: bool
    metadata: bool


def plain(settings: Settings) -> dict[str, Any]:
    """The settings as `guidegen.config.make_config` takes them.

    A size (width, height) and a shift (right, down) become text. A picture that is loaded is kept
    as a file named by its content until Python ends, since a run is told by what it starts from.
    """
    fields: dict[str, Any] = dict(settings)
    if isinstance(size := fields.get("size"), tuple):
        fields["size"] = "x".join(map(str, size))
    if isinstance(shift := fields.get("shift"), tuple):
        fields["shift"] = ",".join(map(str, shift))
    if isinstance(margins := fields.get("outpaint"), tuple):
        fields["outpaint"] = ",".join(map(str, margins))
    for name in ("init_image", "mask"):
        picture = fields.get(name)
        if _loaded(picture):
            fields[name] = _file_of(picture)
    if "image_prompt" in fields:
        given = fields["image_prompt"]
        several = given if isinstance(given, list | tuple) else [given]
        fields["image_prompt"] = [_file_of(one) if _loaded(one) else one for one in several]
    return fields


def _loaded(value: object) -> "TypeGuard[Image.Image]":
    """Whether it is a PIL image; without loading PIL to know that it is none."""
    return hasattr(value, "save") and hasattr(value, "getbbox")


def _file_of(image: "Image.Image") -> Path:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = buffer.getvalue()
    path = _folder() / f"{hashlib.sha256(data).hexdigest()[:32]}.png"
    return path if path.exists() else write_atomic(path, data)


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="guidegen-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

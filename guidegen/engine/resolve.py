"""What a config means here: defaults filled in, and refused where it can't be done."""

import re
from collections.abc import Sequence
from typing import Any

import torch

from guidegen.backend import Backend, GeneratorInfo
from guidegen.clip.perceptor import check_specs
from guidegen.config import ResolvedConfig, RunConfig
from guidegen.cutouts import make_cutouts
from guidegen.errors import ConfigError, about
from guidegen.media.images import read_init, read_picture
from guidegen.media.upscale import check_upscale
from guidegen.prompt.grammar import parse_scenes
from guidegen.prompt.loss_terms import all_loss_terms
from guidegen.prompt.references import parse_image_prompt
from guidegen.registry import backends, find, find_loss


def check(configs: Sequence[RunConfig]) -> None:
    """Refuse what can be refused before any work starts.

    Raises:
        GuidegenError: unknown names, impossible sizes, unwritable folders, broken init images,
            devices that are not there.
    """
    # words and seeds were checked one by one already
    for config in {_alike(config): config for config in configs}.values():
        info = generator_info(config)
        size = _size(config, info)
        if config.upscale > 1:
            check_upscale(*size, config.upscale)
        info.read_options(config.option)
        with about("perceptor"):
            check_specs(config.perceptor)
        with about("loss"):
            for term in all_loss_terms(config.loss, prior=config.prior, init=config.init_weight):
                find_loss(term.name)
        choose_device(config.device)
        if config.init_image is not None:
            _needs_encode(config, info, "start from an image")
            with about("init_image"):
                read_init(config.init_image, (8, 8))
        for text in config.image_prompt:
            with about("image_prompt"):
                read_picture(parse_image_prompt(text).path, "image prompt")
        make_cutouts(config.cutout_method, count=1, noise=config.cutout_noise or 0.0)
        if config.moves:
            _needs_encode(config, info, "zoom, shift or rotate")
            if config.ema:
                raise ConfigError(
                    "it would average pictures from before and after a move; with zoom, shift and "
                    "rotate it must be 0",
                    field="ema",
                )


def _alike(config: RunConfig) -> str:
    """Equal for configs that are refused or taken alike."""
    scenes = "^".join("x" for _ in parse_scenes(config.prompt))
    return config.model_copy(update={"prompt": scenes, "negative": (), "seed": 0}).model_dump_json()


def _needs_encode(config: RunConfig, info: GeneratorInfo, what: str) -> None:
    if not info.encodes:
        able = [name for name, backend in backends().items() if _encodes(backend)]
        why = f"{config.generator} can't {what}; {' or '.join(able)} can"
        raise ConfigError(why, field="generator")


def _encodes(backend: Backend) -> bool:
    return any(info.encodes for info in backend.variants.values())


def resolve(config: RunConfig) -> ResolvedConfig:
    """Fill every None with what suits the generator, and "auto" with a device."""
    info = generator_info(config)
    height, width = _size(config, info)
    values: dict[str, Any] = {
        "steps": info.defaults.steps * len(parse_scenes(config.prompt)),
        "lr": info.defaults.lr,
        "cutouts": info.defaults.cutouts,
        "starts": info.defaults.starts,
        # big-sleep's are plain crops
        "cutout_noise": 0.0 if config.cutout_method == "big-sleep" else info.defaults.noise,
    }
    size = str(width) if width == height else f"{width}x{height}"
    values |= {name: value for name, value in config if value is not None}
    return ResolvedConfig.model_validate(
        {**values, "size": size, "device": choose_device(config.device)}
    )


def generator_info(config: RunConfig) -> GeneratorInfo:
    """The card of the config's generator.

    Raises:
        UnknownNameError: there is none of that name.
    """
    with about("generator"):
        backend, variant = find(config.generator)
        return backend.info(variant)


def _size(config: RunConfig, info: GeneratorInfo) -> tuple[int, int]:
    height, width = config.height_width() or (info.default_size, info.default_size)
    low, high = info.sizes
    for side in (height, width):
        if not low <= side <= high:
            raise ConfigError(
                f"{info.name} makes pictures of {low} to {high} pixels a side, "
                f"not {width}x{height}",
                field="size",
            )
        if side % info.multiple:
            near = max(low, round(side / info.multiple) * info.multiple)
            raise ConfigError(
                f"{info.name} needs sides that are multiples of {info.multiple}: "
                f"{near} instead of {side}",
                field="size",
            )
    if max(height, width) > 4 * min(height, width):
        why = f"{width}x{height} is too narrow; one side at most 4 times the other"
        raise ConfigError(why, field="size")
    return height, width


def choose_device(name: str) -> str:
    """A device of this machine.

    Args:
        name: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        ConfigError: there is no such device here.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise ConfigError(f"{name!r} is no device; use auto, cpu, cuda, cuda:1 or mps")
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and torch.cuda.device_count() <= int(number or 0):
        raise ConfigError(f"there is no {name} here; use auto or cpu", field="device")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("there is no mps device here; use auto or cpu", field="device")
    return name


def device_name(device: str) -> str:
    """A device in words, for the record of a run."""
    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)"


def batch_key(config: ResolvedConfig) -> str:
    """Equal for configs that can advance together."""
    # stories of as many scenes have the same schedule
    return f"{len(parse_scenes(config.prompt))} {config.settings.model_dump_json()}"

"""Settings that a user left open, filled with what suits the generator. Torch-free."""

from typing import Any

from guidegen.backend import GeneratorInfo
from guidegen.config import RunConfig
from guidegen.config.settings import predictor_in
from guidegen.errors import ConfigError, about
from guidegen.registry import find


def fill(config: RunConfig) -> RunConfig:
    """The config with every default filled in; the device stays as it is.

    Raises:
        GuidegenError: as `filled`.
    """
    return RunConfig.model_validate(filled(config))


def filled(config: RunConfig) -> dict[str, Any]:
    """The settings that the config names, and what suits the generator for those that are None.

    Raises:
        GuidegenError: no such generator, or a size that it can't make.
    """
    info = generator_info(config)
    height, width = size_of(config, info)
    start_from = config.start_from or _start_from(config, info)
    values: dict[str, Any] = {
        "start_from": start_from,
        "steps": info.defaults.steps * len(config.scenes),
        "lr": info.defaults.lr,
        "cutouts": info.defaults.cutouts,
        "starts": _starts(info, start_from),
        # theirs have none
        "cutout_noise": 0.0
        if config.cutout_method in ("big-sleep", "fusedream")
        else info.defaults.noise,
    }
    if config.cutout_method == "views":
        low, high = info.defaults.scale
        values["cutout_whole"] = info.defaults.whole
        values["cutout_scale"] = f"{low:g},{high:g}"
        values["cutout_shift"] = info.defaults.shift
    values |= {name: value for name, value in config if value is not None}
    return {**values, "size": str(width) if width == height else f"{width}x{height}"}


def _start_from(config: RunConfig, info: GeneratorInfo) -> str:
    """What suits the generator, unless the user said how it starts."""
    says = any(text.partition("=")[0].strip() == "start" for text in config.option)
    given = says or config.init_image is not None or config.init_run is not None
    return "none" if given else info.defaults.start_from or "none"


def _starts(info: GeneratorInfo, start_from: str) -> int:
    """The generator's own number of starts; where that is one, that of the one it starts from."""
    own = start_from == "none" or predictor_in(start_from) is not None
    if info.defaults.starts > 1 or own:
        return info.defaults.starts
    with about("start_from"):
        backend, variant = find(start_from)
    return backend.info(variant).defaults.starts


def generator_info(config: RunConfig) -> GeneratorInfo:
    """The card of the config's generator.

    Raises:
        UnknownNameError: there is none of that name.
    """
    with about("generator"):
        backend, variant = find(config.generator)
        return backend.info(variant)


def size_of(config: RunConfig, info: GeneratorInfo) -> tuple[int, int]:
    """The size (height, width) in pixels that a generator makes for a config.

    Raises:
        ConfigError: it can't make such a size.
    """
    height, width = config.height_width() or canvas(config) or (info.default_size,) * 2
    fits(info, (height, width))
    if max(height, width) > 4 * min(height, width):
        why = f"{width}x{height} is too narrow; one side at most 4 times the other"
        raise ConfigError(why, field="size")
    return height, width


def canvas(config: RunConfig) -> tuple[int, int] | None:
    """The size of an init image with what is to be drawn around it; None where nothing is.

    Raises:
        InputImageError: it can't be read.
    """
    margins = config.margins()
    if margins is None or config.init_image is None:
        return None
    from guidegen.media.decode import decode

    with about("init_image"):
        picture = decode(config.init_image, "init image")
    left, top, right, bottom = margins
    return picture.height + top + bottom, picture.width + left + right


def fits(info: GeneratorInfo, size: tuple[int, int]) -> None:
    """Refuse a size (height, width) that a generator can't make.

    Raises:
        ConfigError: about the field `size`.
    """
    height, width = size
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

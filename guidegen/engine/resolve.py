"""What a config means here: defaults filled in, and refused where it can't be done."""

import re
from collections.abc import Sequence

import torch

from guidegen.backend import Backend, GeneratorInfo
from guidegen.clip.perceptor import check_specs, check_weights
from guidegen.config import PictureConfig, ResolvedConfig, ResolvedSettings, RunConfig
from guidegen.cutouts import make_cutouts
from guidegen.engine.begin.fork import check_init_run
from guidegen.engine.begin.inpaint import check_inpainting
from guidegen.engine.begin.predicted import check_predictor
from guidegen.engine.defaults import filled, fits, generator_info, size_of
from guidegen.errors import ConfigError, about
from guidegen.guidance.losses.palette import read_palette
from guidegen.guidance.regions import read_region
from guidegen.media.images import read_init, read_picture
from guidegen.media.upscale import check_upscale
from guidegen.prompt.loss_terms import all_loss_terms, loss_options
from guidegen.prompt.references import parse_image_prompt
from guidegen.registry import backends, find, find_loss

# Their validators are built here, where one thread imports, and not as every command starts.
for _model in (PictureConfig, ResolvedSettings, ResolvedConfig):
    _model.model_rebuild()


def check(configs: Sequence[RunConfig], *, weights: bool = True) -> None:
    """Refuse what can be refused before any work starts.

    Args:
        configs: one per picture.
        weights: they must be here; False where another machine draws.

    Raises:
        GuidegenError: unknown names, impossible sizes, unwritable folders, broken init images,
            devices and weights that are not there.
    """
    # words and seeds were checked one by one already
    for config in {_alike(config): config for config in configs}.values():
        info = generator_info(config)
        size = size_of(config, info)
        if config.upscale > 1:
            check_upscale(*size, config.upscale)
        with about("option"):
            info.read_options(config.option)
        with about("perceptor"):
            check_specs(config.perceptor)
        with about("loss"):
            terms = all_loss_terms(config.loss, prior=config.prior, init=config.init_weight)
            for name, options in loss_options(terms, config.loss_option).items():
                find_loss(name).read_options(options)
        if weights:
            with about("generator"):
                backend, variant = find(config.generator)
                backend.check_weights(variant)
            with about("perceptor"):
                check_weights(config.perceptor)
        choose_device(config.device)
        _check_start(config, info, weights=weights)
        _check_pictures(config, info, size)
        _check_search(config)
        if config.palette is not None:
            with about("palette"):
                read_palette(config.palette)
        make_cutouts(
            config.cutout_method,
            count=1,
            noise=config.cutout_noise or 0.0,
            whole=config.cutout_whole,
            scale=config.cutout_sides(),
            shift=config.cutout_shift,
            last_scale=config.last_cutout_sides(),
        )
        _check_judge(config, weights=weights)
        _check_moves(config, info)


def _check_pictures(config: RunConfig, info: GeneratorInfo, size: tuple[int, int]) -> None:
    """Refuse regions, masks, starts and image prompts that can't be read or used."""
    if config.region:
        _needs_encode(config, info, "draw regions")
        for region in config.regions():
            if region.mask is not None:
                read_region(region, size)
    if config.mask is not None or config.outpaint is not None:
        _needs_encode(config, info, "keep parts of a picture")
        check_inpainting(config)
    if config.pick is not None and (config.init_image or config.init_run) is not None:
        raise ConfigError(
            "a run goes on from a start that was drawn or from an init image or run, not from both",
            field="pick",
        )
    if config.init_image is not None:
        _needs_encode(config, info, "start from an image")
        with about("init_image"):
            read_init(config.init_image, (8, 8))
    if config.init_run is not None:
        with about("init_run"):
            check_init_run(config)
    for text in config.image_prompt:
        with about("image_prompt"):
            read_picture(parse_image_prompt(text).path, "image prompt")


def _check_moves(config: RunConfig, info: GeneratorInfo) -> None:
    """Refuse to move the camera where nothing can be encoded again."""
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
    scenes = "^".join("x" for _ in config.scenes) if config.prompt else ""
    return config.model_copy(update={"prompt": scenes, "negative": (), "seed": 0}).model_dump_json()


def _check_start(config: RunConfig, info: GeneratorInfo, *, weights: bool) -> None:
    """Refuse a generator to start from that can't serve this one."""
    if config.predictor is not None:
        with about("start_from"):
            if config.init_image is not None:
                raise ConfigError("a run starts from an init image or a prediction, not from both")
            if weights:
                check_predictor(config.predictor, info.name, info.encodes, config.perceptor)
    if config.first_generator is None:
        return
    with about("start_from"):
        _needs_encode(config, info, "start from another generator's picture")
        if config.init_image is not None:
            raise ConfigError("a run starts from an init image or a generator, not from both")
        backend, variant = find(config.first_generator)
        size = size_of(config, info)
        try:
            fits(backend.info(variant), size)
        except ConfigError as error:
            ((_, why),) = error.parts
            raise ConfigError(why, field="start_from") from None
        if weights:
            backend.check_weights(variant)


def _check_search(config: RunConfig) -> None:
    """Refuse searches that would have nothing to search."""
    for field, on in (("mix", config.mix > 1), ("evolve", config.evolve > 0)):
        if on and (config.init_image is not None or config.init_run is not None):
            raise ConfigError(
                "it starts from several that are drawn; an init image or run is one", field=field
            )
        if on and config.pick is not None:
            raise ConfigError("one start was picked; leave this out", field=field)
    if config.mix > 1 and config.evolve:
        raise ConfigError("mix starts or let them evolve, not both", field="mix")
    if config.mix > 1 and config.moves:
        raise ConfigError("a mixture can't move; leave zoom, shift and rotate out", field="mix")
    for field in ("evolve_steps", "population"):
        if getattr(config, field) and not config.evolve:
            raise ConfigError("it is about generations of CMA-ES; name evolve too", field=field)


def _check_judge(config: RunConfig, *, weights: bool) -> None:
    """Refuse a judge that can't judge."""
    if config.judge is None:
        if config.patience is not None:
            raise ConfigError("it is a judge's; name one", field="patience")
        return
    with about("judge"):
        check_specs((config.judge,))
        if config.judge.partition("@")[0] in {spec.partition("@")[0] for spec in config.perceptor}:
            raise ConfigError(f"{config.judge} guides already; name a CLIP that does not")
        if weights:
            check_weights((config.judge,))


def _needs_encode(config: RunConfig, info: GeneratorInfo, what: str) -> None:
    if not info.encodes:
        able = [first for backend in backends().values() if (first := _first_that_encodes(backend))]
        why = f"{config.generator} can't {what}; {' or '.join(able)} can"
        raise ConfigError(why, field="generator")


def _first_that_encodes(backend: Backend) -> str:
    """The full name of a backend's first variant that can start from a picture; "" for none."""
    return next((info.name for info in backend.variants.values() if info.encodes), "")


def resolve(config: RunConfig) -> ResolvedConfig:
    """Fill every None with what suits the generator, and "auto" with a device."""
    return ResolvedConfig.model_validate({**filled(config), "device": choose_device(config.device)})


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
    return f"{len(config.scenes)} {config.settings.model_dump_json()}"

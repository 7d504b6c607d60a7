"""Loaded models, kept for the next call that wants the same ones."""

from dataclasses import dataclass
from functools import lru_cache

from guidegen.clip.perceptor import Ensemble, load_ensemble
from guidegen.config import RunConfig
from guidegen.interfaces import Generator
from guidegen.registry import load_generator


@dataclass(frozen=True)
class Session:
    """Loaded models for one kind of run."""

    generator: Generator
    ensemble: Ensemble
    digests: dict[str, str]


def open_session(config: RunConfig) -> Session:
    """The models that a resolved config asks for.

    Raises:
        GuidegenError: weights that are missing or broken.
    """
    height, width = config.height_width() or (0, 0)
    return _load(
        config.generator,
        config.option,
        (height, width),
        config.perceptor,
        config.device,
        config.precision,
        config.generator_precision,
    )


@lru_cache(maxsize=2)
def _load(
    generator_name: str,
    given: tuple[str, ...],
    size: tuple[int, int],
    perceptors: tuple[str, ...],
    device: str,
    precision: str,
    generator_precision: str,
) -> Session:
    generator: Generator = load_generator(
        generator_name, given, size=size, device=device, precision=generator_precision
    )
    ensemble = load_ensemble(perceptors, device=device, precision=precision)
    digests = dict(ensemble.digests())
    if generator.digest:
        digests[generator_name] = generator.digest
    return Session(generator, ensemble, digests)

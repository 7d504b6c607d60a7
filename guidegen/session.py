"""Loaded models, kept for the next call that wants the same ones."""

from dataclasses import dataclass
from functools import lru_cache

from guidegen.config import RunConfig
from guidegen.interfaces import Generator
from guidegen.perceptor import Ensemble, load_ensemble
from guidegen.registry import find


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
        config.generator, (height, width), config.perceptor, config.device, config.precision
    )


@lru_cache(maxsize=2)
def _load(
    generator_name: str,
    size: tuple[int, int],
    perceptors: tuple[str, ...],
    device: str,
    precision: str,
) -> Session:
    backend, variant = find(generator_name)
    generator: Generator = backend.load(variant, size=size, device=device)
    ensemble = load_ensemble(perceptors, device=device, precision=precision)
    digests = dict(ensemble.digests())
    if generator.vocabulary is not None:
        digests[generator_name] = generator.vocabulary.digest
    return Session(generator, ensemble, digests)

"""Loaded models, kept for the next call that wants the same ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import torch

from guidegen.clip.perceptor import Ensemble, load_ensemble
from guidegen.config import ResolvedSettings
from guidegen.engine.begin.inpaint import inpainting
from guidegen.engine.begin.predicted import LoadedPredictor, load_fitting
from guidegen.guidance.limited import Limited
from guidegen.guidance.losses.palette import read_palette
from guidegen.guidance.starts.mixture import Mixture
from guidegen.interfaces import Generator, Perceptor
from guidegen.precision import Arithmetic
from guidegen.registry import find, load_generator


@dataclass(frozen=True)
class Session:
    """Loaded models for one kind of run.

    Attributes:
        generator: what is optimised.
        ensemble: the CLIPs.
        digests: name -> digest of the weights.
        first: generator whose pictures the run starts from.
        predictor: predicts the start from the prompt.
        judge: scores the pictures and does not guide them.
    """

    generator: Generator
    ensemble: Ensemble
    digests: dict[str, str]
    first: Generator | None = None
    predictor: LoadedPredictor | None = None
    judge: Perceptor | None = None

    def arithmetic(self) -> dict[str, Arithmetic]:
        """Name of each network -> what it computes in; without those that have none."""
        found = {perceptor.name: perceptor for perceptor, _ in self.ensemble}
        of_all = {**found, self.generator.info.name: self.generator}
        pairs = ((name, getattr(network, "arithmetic", None)) for name, network in of_all.items())
        return {name: value for name, value in pairs if isinstance(value, Arithmetic)}


def open_session(config: ResolvedSettings, *, keep: Mapping[str, str] | None = None) -> Session:
    """The models that settings ask for.

    Args:
        config: resolved.
        keep: name of a network -> what it computed in, in a run that goes on.

    Raises:
        GuidegenError: weights that are missing or broken.
    """
    session = _load(
        config.generator,
        config.option,
        config.first_generator,
        config.predictor,
        config.height_width(),
        config.perceptor,
        config.device,
        config.precision,
        config.generator_precision,
        tuple(sorted((keep or {}).items())),
        config.judge,
    )
    generator = wrapped(session.generator, config)
    return session if generator is session.generator else replace(session, generator=generator)


def wrapped(generator: Generator, settings: ResolvedSettings) -> Generator:
    """The generator as the settings want it: in a palette, mixing starts, keeping a part."""
    if settings.palette is not None:
        colours = torch.tensor(read_palette(settings.palette)) / 255
        generator = cast(Generator, Limited(generator, colours))
    if settings.mix > 1:
        return Mixture(generator, settings.mix)
    return inpainting(generator, settings)


@lru_cache(maxsize=2)
def _load(
    generator_name: str,
    given: tuple[str, ...],
    first_name: str | None,
    predictor_name: str | None,
    size: tuple[int, int],
    perceptors: tuple[str, ...],
    device: str,
    precision: str,
    generator_precision: str,
    keep: tuple[tuple[str, str], ...],
    judge_name: str | None = None,
) -> Session:
    kept = {name: Arithmetic.read(text, device) for name, text in keep}
    if generator_name in kept:
        generator_precision = kept[generator_name].precision
    generator: Generator = load_generator(
        generator_name, given, size=size, device=device, precision=generator_precision
    )
    first: Generator | None = None
    if first_name is not None:
        first = load_generator(
            first_name, (), size=size, device=device, precision=generator_precision
        )
    ensemble = load_ensemble(perceptors, device=device, precision=precision, keep=kept)
    digests = dict(ensemble.digests())
    for name, loaded in ((first_name, first), (generator_name, generator)):
        if name is None or loaded is None:
            continue
        # a plug-in without weights is told apart by its code: another one draws another picture
        if digest := loaded.digest or find(name)[0].code_digest():
            digests[name] = digest
    predictor: LoadedPredictor | None = None
    if predictor_name is not None:
        predictor = load_fitting(predictor_name, generator, given, ensemble, device)
        digests["predictor"] = predictor.predictor.digest
    judge: Perceptor | None = None
    if judge_name is not None:
        judging = load_ensemble((judge_name,), device=device, precision=precision)
        ((judge, _),) = judging.parts
        digests |= judging.digests()
    return Session(generator, ensemble, digests, first, predictor, judge)

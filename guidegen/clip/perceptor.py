"""CLIPs by their names: one, and weighted ensembles of several."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from guidegen.clip.fused import fastest_arithmetic, is_convolutional
from guidegen.clip.open_clip_perceptor import CLIPPerceptor
from guidegen.errors import ConfigError
from guidegen.interfaces import Perceptor
from guidegen.precision import Arithmetic, named
from guidegen.weights import open_clip_weights as loading

__all__ = [
    "CLIPPerceptor", "Ensemble", "check_specs", "check_weights", "load_ensemble", "load_perceptor",
]  # fmt: skip


@dataclass(frozen=True)
class Ensemble:
    """Weighted CLIPs. Each has a feature space of its own, so users go through the parts.

    Attributes:
        parts: perceptors and weights; the weights sum to one.
    """

    parts: tuple[tuple[Perceptor, float], ...]

    def __iter__(self) -> Iterator[tuple[Perceptor, float]]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def input_size(self) -> int:
        """Largest input side of the parts, in pixels; smaller ones shrink by themselves."""
        return max(perceptor.input_size for perceptor, _ in self.parts)

    def digests(self) -> dict[str, str]:
        """Name -> digest of the weights of each part."""
        return {perceptor.name: perceptor.digest for perceptor, _ in self.parts}


def check_specs(specs: Sequence[str]) -> None:
    """Refuse what can be refused without loading: weights of parts, unknown names, no folder.

    Raises:
        ConfigError: a weight that is not positive and finite, or a part named twice.
        UnknownNameError: no such model or tag.
        WeightsError: no such folder, or it is no model folder.
    """
    for spec, _ in _parse_specs(specs):
        folder = loading.local_folder(spec)
        if folder is not None:
            loading.read_config(folder)
        elif not spec.startswith(loading.HUB):
            loading.split_zoo_name(spec)


def check_weights(specs: Sequence[str]) -> None:
    """Refuse perceptors whose weights can be neither loaded nor fetched.

    Raises:
        WeightsError: as `guidegen.weights.open_clip_weights.check_here`.
    """
    for spec, _ in _parse_specs(specs):
        loading.check_here(spec)


def load_ensemble(
    specs: Sequence[str],
    *,
    device: torch.device | str,
    precision: str = "auto",
    keep: Mapping[str, Arithmetic] | None = None,
) -> Ensemble:
    """Load weighted CLIPs.

    Args:
        specs: each as `load_perceptor` takes it, with @WEIGHT behind it at will (default 1).
        device: where they compute.
        precision: as `load_perceptor` takes it.
        keep: spec without its weight -> arithmetic that counts instead, of a run that goes on.

    Raises:
        GuidegenError: as `check_specs`, before anything is loaded, and `load_perceptor`.
    """
    check_specs(specs)
    parsed = _parse_specs(specs)
    whole = sum(weight for _, weight in parsed)
    return Ensemble(
        tuple(
            (
                load_perceptor(spec, device=device, precision=(keep or {}).get(spec, precision)),
                weight / whole,
            )
            for spec, weight in parsed
        )
    )


def load_perceptor(
    spec: str, *, device: torch.device | str, precision: str | Arithmetic = "auto"
) -> CLIPPerceptor:
    """Load one CLIP.

    Args:
        spec: "embedded", "embedded/robust" (the same with an image tower whose gradients draw),
            "local-dir:FOLDER" (open_clip's layout with safetensors), "NAME/TAG" of
            open_clip's zoo like "ViT-B-32/openai", or "hf-hub:ORG/NAME". The last two download
            once, and not at all under HF_HUB_OFFLINE=1.
        device: where it computes.
        precision: of the image tower: "fp32", "bf16", "fp16"; "auto" takes what is fastest here,
            measured once (see `guidegen.precision.choose`).

    Raises:
        ConfigError: a precision that the device has not.
        UnknownNameError: no such model or tag.
        WeightsError: weights that are missing, can't be fetched, or do not fit the model.
    """
    if isinstance(precision, str) and precision != "auto":
        named(precision, device)
    folder = loading.local_folder(spec)
    if folder is not None:
        model, tokenizer, digest = loading.load_folder(folder)
    elif spec.startswith(loading.HUB):
        model, tokenizer, digest = loading.load_hub(spec)
    else:
        model, tokenizer, digest = loading.load_zoo(*loading.split_zoo_name(spec))
    if precision == "auto":
        visual = model.visual.eval().requires_grad_(False).to(device)
        side = loading.square_side(visual.preprocess_cfg["size"])
        arithmetic = fastest_arithmetic(visual, side=side, device=torch.device(device))
    elif isinstance(precision, Arithmetic):
        arithmetic = precision
    else:
        arithmetic = Arithmetic(named(precision, device), is_convolutional(model.visual))
    return CLIPPerceptor(
        model, tokenizer, name=spec, digest=digest, device=device, arithmetic=arithmetic
    )


def _parse_specs(specs: Sequence[str]) -> list[tuple[str, float]]:
    parsed = [_parse_spec(spec) for spec in specs]
    names = [name for name, _ in parsed]
    if not names:
        raise ConfigError("none is given; use embedded", field="perceptor")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the perceptor {name} is given twice; give it once with @WEIGHT")
    if not math.isfinite(sum(weight for _, weight in parsed)):
        raise ConfigError("the weights of the perceptors are too big")
    return parsed


def _parse_spec(spec: str) -> tuple[str, float]:
    name, at, tail = spec.rpartition("@")
    # an @ in the middle of a path, or in the name of a folder that is there, is no weight
    path = spec.startswith(loading.LOCAL) and (
        "/" in tail or Path(spec.removeprefix(loading.LOCAL)).exists()
    )
    if not at or path:
        return spec.strip(), 1.0
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise ConfigError(f"the weight in perceptor {spec!r} must be a number above 0, like @0.5")
    return name.strip(), weight

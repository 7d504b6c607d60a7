"""CLIP through open_clip: one adapter, and weighted ensembles of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.fused import fastest_arithmetic, is_convolutional, quickened
from guidegen.clip.templates import apply_template, encode_prompt, truncated_words
from guidegen.clip.text_features import encode_vocabulary
from guidegen.errors import ConfigError
from guidegen.interfaces import Images, Perceptor
from guidegen.precision import Arithmetic, autocast, named
from guidegen.utils.measured import cache_folder
from guidegen.weights import open_clip_weights as loading

__all__ = [
    "CLIPPerceptor",
    "Ensemble",
    "apply_template",
    "cache_folder",
    "check_specs",
    "encode_prompt",
    "encode_vocabulary",
    "load_ensemble",
    "load_perceptor",
    "truncated_words",
]

# More texts than this are a vocabulary: encoded in chunks and not remembered one by one.
_FEW, _CHUNK, _REMEMBERED = 64, 256, 4096


class CLIPPerceptor:
    """An open_clip model as a `Perceptor`: frozen, in evaluation mode.

    Attributes:
        name: the spec it was loaded from.
        digest: SHA-256 over its weights, in hex.
        input_size: side in pixels of its square input.
        context_length: tokens of a text that it reads, start and end included.
        arithmetic: of the image tower; text is always float32.
        precision: its type.
        device: where it computes.
        logit_scale: what cosine similarities are multiplied by before a softmax, as it was trained.
        resize_mode: how it was trained to make pictures square: "shortest" (the middle), "longest"
            (padded) or "squash".
        interpolation: how it was trained to resize them: "bicubic" or "bilinear".
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        digest: str,
        device: torch.device | str = "cpu",
        arithmetic: Arithmetic | None = None,
    ) -> None:
        arithmetic = arithmetic or Arithmetic(torch.float32, is_convolutional(model.visual))
        self.arithmetic = arithmetic
        self.name = name
        self.digest = digest
        self.device = torch.device(device)
        self.precision = arithmetic.dtype
        self.context_length = int(tokenizer.context_length)
        self._tokenizer = tokenizer
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._format = torch.channels_last if arithmetic.channels_last else torch.contiguous_format
        model.visual.to(memory_format=self._format)
        # in place of the old one, whose weights would only take memory
        model.visual = quickened(model.visual, device=self.device, precision=self.precision)
        preprocess = model.visual.preprocess_cfg
        self.input_size = loading.square_side(preprocess["size"])
        self.logit_scale = float(model.logit_scale.exp())
        self.resize_mode = str(preprocess["resize_mode"])
        self.interpolation = "bilinear" if preprocess["interpolation"] == "bilinear" else "bicubic"
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(preprocess["mean"], device=self.device).view(shape)
        self._std = torch.tensor(preprocess["std"], device=self.device).view(shape)
        self._remembered: dict[str, Tensor] = {}

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Features [n, d], float32, unit norm, without gradient.

        Up to 64 texts are encoded one by one and remembered, so that the last bits of a feature
        do not depend on what else is asked for; more are encoded in chunks.
        """
        if len(texts) > _FEW:
            parts = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)]
            return torch.cat([self._encode_text(part) for part in parts])
        if not texts:
            return self.encode_text([""])[:0]
        found = {}
        for text in texts:
            if text not in self._remembered:
                self._remembered[text] = self._encode_text([text])[0]
            found[text] = self._remembered[text]
        while len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return torch.stack([found[text] for text in texts])

    @torch.no_grad()
    def _encode_text(self, texts: Sequence[str]) -> Tensor:
        tokens = self._tokenizer(list(texts)).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            return F.normalize(self._model.encode_text(tokens).float(), dim=-1)

    def encode_image(self, images: Images) -> Tensor:
        """Features [n, d], float32, unit norm, differentiable in the images.

        Args:
            images: [n, 3, h, w] floats in [0, 1], any size. Other sizes than `input_size` are
                resized with antialiasing; of what is not square the middle is seen, or the whole
                is squashed, as the model was trained.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be floats [n, 3, h, w], not {tuple(images.shape)}")
        images = (self._resized(images.float()) - self._mean) / self._std
        images = images.contiguous(memory_format=self._format)
        with autocast(self.device, self.precision):
            features = self._model.encode_image(images)
        return F.normalize(features.float(), dim=-1)

    def _resized(self, images: Images) -> Images:
        height, width = images.shape[-2:]
        if height != width and self.resize_mode != "squash":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            images = images[..., top : top + side, left : left + side]
        size = (self.input_size, self.input_size)
        if images.shape[-2:] == size:
            return images
        return F.interpolate(images, size, mode=self.interpolation, antialias=True)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, start and end included."""
        if hasattr(self._tokenizer, "encode"):
            return len(self._tokenizer.encode(text)) + 2
        return len(self._tokenizer.tokenizer(text)["input_ids"])  # open_clip's HFTokenizer


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

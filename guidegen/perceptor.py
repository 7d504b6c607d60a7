"""CLIP through open_clip: one adapter, ensembles of it, and their loading.

open_clip only warns where a result would be wrong (random weights, the wrong activation, resized
position embeddings); here all of these are errors.
"""

import json
import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from guidegen.errors import ConfigError, UnknownNameError, WeightsError
from guidegen.interfaces import Images, Perceptor
from guidegen.templates import apply_template, encode_prompt
from guidegen.text_cache import cache_folder, encode_vocabulary
from guidegen.weights import embedded, folder_digest, sha256_file

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
    "resolve_precision",
    "truncated_words",
]

_CONFIG = "open_clip_config.json"
_LOCAL, _HUB = "local-dir:", "hf-hub:"
# More texts than this are a vocabulary: encoded in chunks and not remembered one by one.
_FEW, _CHUNK, _REMEMBERED = 64, 256, 4096


class CLIPPerceptor:
    """An open_clip model as a `Perceptor`: frozen, in evaluation mode.

    Attributes:
        name: the spec it was loaded from.
        digest: SHA-256 over its weights, in hex.
        input_size: side in pixels of its square input.
        context_length: tokens of a text that it reads, start and end included.
        precision: arithmetic of the image tower; text is always float32.
        device: where it computes.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        digest: str,
        device: torch.device | str = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.digest = digest
        self.device = torch.device(device)
        self.precision = precision
        self.context_length = int(tokenizer.context_length)
        self._tokenizer = tokenizer
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._format = torch.contiguous_format
        if is_convolutional(model.visual):
            self._format = torch.channels_last
            model.visual.to(memory_format=self._format)
        preprocess = model.visual.preprocess_cfg
        self.input_size = _side(preprocess["size"])
        self._squash = preprocess["resize_mode"] == "squash"
        self._interpolation = "bilinear" if preprocess["interpolation"] == "bilinear" else "bicubic"
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
        half = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision if half else None, enabled=half):
            features = self._model.encode_image(images)
        return F.normalize(features.float(), dim=-1)

    def _resized(self, images: Images) -> Images:
        height, width = images.shape[-2:]
        if height != width and not self._squash:
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            images = images[..., top : top + side, left : left + side]
        size = (self.input_size, self.input_size)
        if images.shape[-2:] == size:
            return images
        return F.interpolate(images, size, mode=self._interpolation, antialias=True)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, start and end included."""
        if hasattr(self._tokenizer, "encode"):
            return len(self._tokenizer.encode(text)) + 2
        return len(self._tokenizer.tokenizer(text)["input_ids"])  # open_clip's HFTokenizer


def truncated_words(perceptor: Perceptor, text: str) -> str | None:
    """The end of a text that lies beyond the model's context length; None where all is read.

    A word that is read in part only counts as beyond.
    """
    if not isinstance(perceptor, CLIPPerceptor):
        return None
    limit = perceptor.context_length
    if perceptor.count_tokens(text) <= limit:
        return None
    # a language without spaces is one long "word": cut it between characters
    ends = [word.end() for word in re.finditer(r"\S+", text)]
    if len(ends) == 1:
        ends = list(range(1, len(text) + 1))
    kept = 0
    for end in ends:
        if perceptor.count_tokens(text[:end]) > limit:
            break
        kept = end
    return text[kept:].strip()


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


def is_convolutional(tower: nn.Module) -> bool:
    """Whether an image tower is a CNN rather than a ViT, whose only convolutions cut patches."""
    kernels = [m.kernel_size for m in tower.modules() if isinstance(m, nn.Conv2d)]
    return sum(max(kernel) > 1 for kernel in kernels) >= 8


def resolve_precision(
    precision: str, device: torch.device | str, *, convolutional: bool = False
) -> torch.dtype:
    """The arithmetic of an image tower.

    "auto" is bf16 on CUDA (fp16 where that is missing), fp16 on MPS, and on a CPU with bf16
    instructions bf16 for CNNs; ViTs were measured slower there in bf16 than in fp32.

    Args:
        precision: "auto", "fp32", "bf16" or "fp16".
        device: where the tower computes.
        convolutional: the tower is a CNN.

    Raises:
        ConfigError: an unknown name, or fp16 on a CPU.
    """
    kind = torch.device(device).type
    names = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in names:
        if precision == "fp16" and kind == "cpu":
            raise ConfigError("fp16 is no use on a CPU; use --precision bf16 (or auto)")
        return names[precision]
    if precision != "auto":
        raise ConfigError(f"{precision!r} is no precision; use auto, fp32, bf16 or fp16")
    if kind == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if kind == "mps":
        return torch.float16
    return torch.bfloat16 if convolutional and _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    # torch.ops.mkldnn._is_mkldnn_bf16_supported() is also true where bf16 is only emulated
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)


def check_specs(specs: Sequence[str]) -> None:
    """Refuse what can be refused without loading: weights of parts, unknown names, no folder.

    Raises:
        ConfigError: a weight that is not positive and finite, or a part named twice.
        UnknownNameError: no such model or tag.
        WeightsError: no such folder, or it is no model folder.
    """
    for spec, _ in _parse_specs(specs):
        folder = _folder(spec)
        if folder is not None:
            _read_config(folder)
        elif not spec.startswith(_HUB):
            _split_zoo_name(spec)


def load_ensemble(
    specs: Sequence[str], *, device: torch.device | str, precision: str = "auto"
) -> Ensemble:
    """Load weighted CLIPs.

    Args:
        specs: each as `load_perceptor` takes it, with @WEIGHT behind it at will (default 1).
        device: where they compute.
        precision: as `resolve_precision` takes it.

    Raises:
        GuidegenError: as `check_specs`, before anything is loaded, and `load_perceptor`.
    """
    check_specs(specs)
    parsed = _parse_specs(specs)
    whole = sum(weight for _, weight in parsed)
    return Ensemble(
        tuple(
            (load_perceptor(spec, device=device, precision=precision), weight / whole)
            for spec, weight in parsed
        )
    )


def load_perceptor(
    spec: str, *, device: torch.device | str, precision: str = "auto"
) -> CLIPPerceptor:
    """Load one CLIP.

    Args:
        spec: "embedded", "local-dir:FOLDER" (open_clip's layout with safetensors), "NAME/TAG" of
            open_clip's zoo like "ViT-B-32/openai", or "hf-hub:ORG/NAME". The last two download
            once, and not at all under HF_HUB_OFFLINE=1.
        device: where it computes.
        precision: as `resolve_precision` takes it.

    Raises:
        ConfigError: a precision that the device has not.
        UnknownNameError: no such model or tag.
        WeightsError: weights that are missing, can't be fetched, or do not fit the model.
    """
    resolve_precision(precision, device)
    folder = _folder(spec)
    if folder is not None:
        model, tokenizer, digest = _load_folder(folder)
    elif spec.startswith(_HUB):
        model, tokenizer, digest = _load_hub(spec)
    else:
        model, tokenizer, digest = _load_zoo(*_split_zoo_name(spec))
    dtype = resolve_precision(precision, device, convolutional=is_convolutional(model.visual))
    return CLIPPerceptor(
        model, tokenizer, name=spec, digest=digest, device=device, precision=dtype
    )


def _parse_specs(specs: Sequence[str]) -> list[tuple[str, float]]:
    parsed = [_parse_spec(spec) for spec in specs]
    names = [name for name, _ in parsed]
    if not names:
        raise ConfigError("no perceptor is given; use --perceptor embedded")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the perceptor {name} is given twice; give it once with @WEIGHT")
    if not math.isfinite(sum(weight for _, weight in parsed)):
        raise ConfigError("the weights of the perceptors are too big")
    return parsed


def _parse_spec(spec: str) -> tuple[str, float]:
    name, at, tail = spec.rpartition("@")
    # an @ in the middle of a path, or in the name of a folder that is there, is no weight
    path = spec.startswith(_LOCAL) and ("/" in tail or Path(spec.removeprefix(_LOCAL)).exists())
    if not at or path:
        return spec.strip(), 1.0
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise ConfigError(f"the weight in perceptor {spec!r} must be a number above 0, like @0.5")
    return name.strip(), weight


def _folder(spec: str) -> Path | None:
    """Folder of a local model; None for a spec of the zoo or the hub."""
    if spec == "embedded":
        return embedded("clip")
    return Path(spec.removeprefix(_LOCAL)).expanduser() if spec.startswith(_LOCAL) else None


def _split_zoo_name(spec: str) -> tuple[str, str]:
    open_clip = _open_clip()
    name, _, tag = spec.rpartition("/")
    if not open_clip.get_pretrained_cfg(name, tag):
        known = [f"{name}/{tag}" for name, tag in open_clip.list_pretrained()]
        raise UnknownNameError.of(
            "perceptor", spec, [*known, "embedded"], hint="(or local-dir:FOLDER, hf-hub:ORG/NAME)"
        )
    return name, tag


def needs_quick_gelu(name: str, tag: str) -> bool:
    """Whether the weights of a zoo model were trained with QuickGELU.

    The zoo's architectures say plain GELU where the weights want the other (open_clip issue #771).
    """
    return bool(_open_clip().get_pretrained_cfg(name, tag).get("quick_gelu", False))


def _load_folder(folder: Path) -> tuple[Any, Any, str]:
    _read_config(folder)
    weights = _weights_file(folder)
    shapes = _shapes(weights)
    name = f"{_LOCAL}{folder}"
    model, tokenizer = _create(name, where=weights)
    # open_clip fails on missing and extra keys, but resizes position embeddings silently
    for key, tensor in model.state_dict().items():
        if key in shapes and math.prod(shapes[key]) != tensor.numel():
            raise WeightsError(
                f"{weights}: {key} has shape {list(shapes[key])} where {_CONFIG} asks for "
                f"{list(tensor.shape)}; weights and config do not belong together"
            )
    return model, tokenizer, folder_digest(folder)


def _load_zoo(name: str, tag: str) -> tuple[Any, Any, str]:
    open_clip = _open_clip()
    spec = f"{name}/{tag}"
    with _fetching(spec), _quiet():
        weights = Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))
    model, tokenizer = _create(
        name, where=weights, pretrained=tag, force_quick_gelu=needs_quick_gelu(name, tag)
    )
    return model, tokenizer, sha256_file(weights)


def _load_hub(spec: str) -> tuple[Any, Any, str]:
    from open_clip.pretrained import download_pretrained_from_hf

    repository = spec.removeprefix(_HUB)
    with _fetching(spec), _quiet():
        download_pretrained_from_hf(repository, filename=_CONFIG)
        weights = Path(download_pretrained_from_hf(repository))
    model, tokenizer = _create(spec, where=weights)
    return model, tokenizer, sha256_file(weights)


def _create(name: str, *, where: Path, **options: Any) -> tuple[Any, Any]:
    """Model with its weights, and tokenizer; every complaint becomes a WeightsError."""
    open_clip = _open_clip()
    try:
        with _quiet():
            model = open_clip.create_model_from_pretrained(name, return_transform=False, **options)
            tokenizer = open_clip.get_tokenizer(name)
        preprocess = model.visual.preprocess_cfg
        _side(preprocess["size"])
        for key, low in (("mean", -math.inf), ("std", 0)):
            if len(preprocess[key]) != 3 or not all(value > low for value in preprocess[key]):
                raise ValueError(f"preprocess_cfg has the {key} {preprocess[key]}")
    except ImportError as error:
        raise WeightsError(f"{name} needs a package that is not here: {_line(error)}") from error
    except Exception as error:
        # open_clip, timm, torch and safetensors raise a dozen types for a file that does not fit
        raise WeightsError(f"can't load {where}: {_line(error)}") from error
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{where}: {key} holds values that are not finite; fetch it again")
    return model, tokenizer


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing: a weights file alone does not tell activation and preprocessing"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"can't read {path}: {_line(error)}") from error
    parts = ("embed_dim", "vision_cfg", "text_cfg")
    model = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(model, dict) or any(part not in model for part in parts):
        raise WeightsError(f"{path} has no model_cfg with {', '.join(parts)}")
    return model


def _weights_file(folder: Path) -> Path:
    """The safetensors that open_clip will take."""
    from open_clip.factory import _find_checkpoint_in_dir

    with _quiet():
        found = _find_checkpoint_in_dir(folder)
    if found is None:
        raise WeightsError(f"no weights in {folder}; put open_clip_model.safetensors there")
    if not found.endswith(".safetensors"):
        raise WeightsError(f"{found} is no safetensors file; convert it: guidegen models import")
    return Path(found)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is no whole safetensors file ({_line(error)}); fetch it again"
        ) from error


def _side(size: Any) -> int:
    sides = {int(side) for side in (size if isinstance(size, Sequence) else [size])}
    if len(sides) != 1:
        raise ValueError(f"its input is not square: {size}")
    return sides.pop()


def _line(error: BaseException) -> str:
    """An error in one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else text[:237] + "..."


def _open_clip() -> Any:
    with _quiet():
        import open_clip  # 5 s: only where it is needed
    return open_clip


@contextmanager
def _fetching(spec: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        cause = "HF_HUB_OFFLINE is set" if offline else _line(error)
        raise WeightsError(
            f"can't fetch the weights of {spec} ({cause}); connect to huggingface.co once, or use "
            "local-dir:FOLDER or embedded"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's chatter down; its QuickGELU warning becomes an error."""
    root = logging.getLogger()
    others = [logging.getLogger(name) for name in ("timm", "huggingface_hub")]
    levels = [logger.level for logger in others]
    # open_clip logs on the root logger itself, which would even install a handler there
    handler = logging.NullHandler()
    root.addHandler(handler)
    root.addFilter(_nothing)
    for logger in others:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            yield
    finally:
        root.removeFilter(_nothing)
        root.removeHandler(handler)
        for logger, level in zip(others, levels, strict=True):
            logger.setLevel(level)


def _nothing(record: logging.LogRecord) -> bool:
    return False

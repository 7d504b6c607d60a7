"""Loading of open_clip models, strictly.

open_clip only warns where a result would be wrong (random weights, the wrong activation, resized
position embeddings); here all of these are errors.
"""

import hashlib
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from guidegen.errors import UnknownNameError, WeightsError
from guidegen.utils.parse import parse_json, read_text
from guidegen.weights.catalog import Source, read_registry
from guidegen.weights.download import in_hub_cache
from guidegen.weights.hub import require_hub
from guidegen.weights.store import embedded, folder_digest, sha256_file

log = logging.getLogger(__name__)

EMBEDDED, LOCAL, HUB = "embedded", "local-dir:", "hf-hub:"
IMAGE_TOWER = "image_tower.safetensors"
_CONFIG = "open_clip_config.json"
# What figures of a config can be: sides in pixels, layers, anything else; numbers of a small model.
_SIDES, _DEEPEST, _LARGEST, _SPARE = (8, 2048), 256, 1 << 21, 1 << 24


def local_folder(spec: str) -> Path | None:
    """Folder of a local model; None for a spec of the zoo or the hub."""
    name, _, variant = spec.partition("/")
    if name == EMBEDDED:
        known = embedded_variants()
        if variant not in known:
            specs = [f"{EMBEDDED}/{v}" if v else EMBEDDED for v in known]
            raise UnknownNameError.of("perceptor", spec, specs)
        return embedded(variant or "clip")
    return Path(spec.removeprefix(LOCAL)).expanduser() if spec.startswith(LOCAL) else None


def embedded_variants() -> list[str]:
    """What may follow "embedded/": folders of image towers; "" is the embedded CLIP itself."""
    folders = embedded("clip").parent.glob(f"*/{IMAGE_TOWER}")
    return ["", *sorted(path.parent.name for path in folders)]


def split_zoo_name(spec: str) -> tuple[str, str]:
    """NAME/TAG as open_clip knows it."""
    open_clip = _open_clip()
    name, _, tag = spec.rpartition("/")
    if not open_clip.get_pretrained_cfg(name, tag):
        known = [f"{name}/{tag}" for name, tag in open_clip.list_pretrained()]
        raise UnknownNameError.of(
            "perceptor", spec, [*known, "embedded"], hint="(or local-dir:FOLDER, hf-hub:ORG/NAME)"
        )
    return name, tag


def check_here(spec: str) -> None:
    """Refuse a perceptor whose weights can be neither loaded nor fetched; say what will be fetched.

    Raises:
        WeightsError: a folder without weights, or nothing in the cache and no connection.
    """
    folder = local_folder(spec)
    if folder is not None:
        if not any(folder.glob("*.safetensors")):
            _weights_file(folder)  # says what is wrong
        return
    if not _cached(spec):
        require_hub(f"the perceptor {spec}")
        log.warning(
            "the weights of %s are not here yet; they are fetched once and kept (%s)",
            spec, _size_of(spec),
        )  # fmt: skip


def _cached(spec: str) -> bool:
    """Whether open_clip would find the weights of a zoo or hub model without a connection."""
    if spec.startswith(HUB):
        repository, file = spec.removeprefix(HUB).partition("@")[0], ""
    else:
        card = _open_clip().get_pretrained_cfg(*split_zoo_name(spec))
        repository, file = os.path.split(card.get("hf_hub", ""))
        if not repository:
            folder = Path("~/.cache/clip").expanduser()  # open_clip's own, of plain URLs
            return (folder / os.path.basename(str(card.get("url", "")))).is_file()
    return in_hub_cache(Source(hub=repository, path=file or "open_clip*model.*")) is not None


def _size_of(spec: str) -> str:
    known = read_registry().checkpoints.get(spec)
    return known.size_text if known else "some hundred MB"


def needs_quick_gelu(name: str, tag: str) -> bool:
    """Whether the weights of a zoo model were trained with QuickGELU.

    The zoo's architectures say plain GELU where the weights want the other (open_clip issue #771).
    """
    return bool(_open_clip().get_pretrained_cfg(name, tag).get("quick_gelu", False))


def load_folder(folder: Path) -> tuple[Any, Any, str]:
    """Model, tokenizer and digest of a folder in open_clip's own layout.

    A folder with `image_tower.safetensors` in place of a whole model takes everything else from the
    embedded CLIP, whose text tower it was trained with.
    """
    config = read_config(folder)
    if (folder / IMAGE_TOWER).is_file():
        return _load_image_tower(folder, config)
    weights = _weights_file(folder)
    shapes = _shapes(weights)
    _check_figures(folder / _CONFIG, config, sum(map(math.prod, shapes.values())))
    name = f"{LOCAL}{folder}"
    model, tokenizer = _create(name, where=weights)
    # open_clip fails on missing and extra keys, but resizes position embeddings silently
    for key, tensor in model.state_dict().items():
        if key in shapes and math.prod(shapes[key]) != tensor.numel():
            raise WeightsError(
                f"{weights}: {key} has shape {list(shapes[key])} where {_CONFIG} asks for "
                f"{list(tensor.shape)}; weights and config do not belong together"
            )
    return model, tokenizer, folder_digest(folder)


def _load_image_tower(folder: Path, config: dict[str, Any]) -> tuple[Any, Any, str]:
    """The embedded CLIP with another image tower of the same architecture.

    The tower is convolutional, so it may be one for pictures of another side.
    """
    from safetensors.torch import load_file

    path, whole = folder / IMAGE_TOWER, embedded("clip")
    side = square_side(config["vision_cfg"].get("image_size"))
    own = read_config(whole)
    own["vision_cfg"]["image_size"] = config["vision_cfg"]["image_size"]
    if config != own:
        raise WeightsError(f"{folder / _CONFIG} is of another architecture than the embedded CLIP")
    _shapes(path)
    model, tokenizer, digest = load_folder(whole)
    try:
        model.visual.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise WeightsError(f"can't load {path}: {_line(error)}") from None
    _check_finite(model, path)
    model.visual.preprocess_cfg = {**model.visual.preprocess_cfg, "size": (side, side)}
    both = digest + folder_digest(folder)
    return model, tokenizer, hashlib.sha256(both.encode()).hexdigest()


def fetch_zoo(name: str, tag: str) -> Path:
    """The weights file of open_clip's zoo, from the hub's cache or fetched into it."""
    open_clip = _open_clip()
    with _fetching(f"{name}/{tag}"), _quiet():
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))


def load_zoo(name: str, tag: str) -> tuple[Any, Any, str]:
    """Model, tokenizer and digest of open_clip's zoo, fetched once."""
    weights = fetch_zoo(name, tag)
    model, tokenizer = _create(
        name, where=weights, pretrained=tag, force_quick_gelu=needs_quick_gelu(name, tag)
    )
    return model, tokenizer, sha256_file(weights)


def load_hub(spec: str) -> tuple[Any, Any, str]:
    """Model, tokenizer and digest of a hub repository in open_clip's layout."""
    _open_clip()
    from open_clip.pretrained import download_pretrained_from_hf

    repository = spec.removeprefix(HUB)
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
        square_side(preprocess["size"])
        for key, low in (("mean", -math.inf), ("std", 0)):
            if len(preprocess[key]) != 3 or not all(value > low for value in preprocess[key]):
                raise ValueError(f"preprocess_cfg has the {key} {preprocess[key]}")
    except ImportError as error:
        raise WeightsError(f"{name} needs a package that is not here: {_line(error)}") from error
    except Exception as error:
        # open_clip, timm, torch and safetensors raise a dozen types for a file that does not fit
        raise WeightsError(f"can't load {where}: {_line(error)}") from error
    _check_finite(model, where)
    return model, tokenizer


def _check_finite(model: Any, where: Path) -> None:
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{where}: {key} holds values that are not finite; fetch it again")


def read_config(folder: Path) -> dict[str, Any]:
    """The `model_cfg` of a folder's open_clip_config.json, checked."""
    path = folder / _CONFIG
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}")
    try:
        config = parse_json(read_text(path))
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


def _check_figures(path: Path, config: dict[str, Any], numbers: int) -> None:
    """Refuse a config of which no model could be built, or one far larger than its weights.

    Args:
        path: of the config, for messages.
        config: its `model_cfg`.
        numbers: how many the weights hold.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise WeightsError(f"{path}: vision_cfg or text_cfg is no table")
    sides = vision.get("image_size", 224)
    for side in sides if isinstance(sides, list) else [sides]:
        _figure(path, "image_size", side, *_SIDES)
        patch, width = vision.get("patch_size"), vision.get("width")
        known = isinstance(patch, int) and isinstance(width, int) and patch > 0
        if known and (side // patch) ** 2 * width > 4 * numbers + _SPARE:
            raise WeightsError(f"{path} asks for a model far larger than the weights beside it")
    for name, part in (("vision_cfg", vision), ("text_cfg", text)):
        for key in ("patch_size", "context_length", "vocab_size", "width", "heads", "head_width"):
            if isinstance(part.get(key), int):
                _figure(path, f"{name}.{key}", part[key], 1, _LARGEST)
        width, layers = part.get("width"), part.get("layers")
        if isinstance(width, int) and isinstance(layers, int):
            _figure(path, f"{name}.layers", layers, 1, _DEEPEST)
            # attention and MLP of a transformer: 12 squares a layer
            if 12 * width * width * layers > 4 * numbers + _SPARE:
                raise WeightsError(f"{path} asks for a model far larger than the weights beside it")
    wanted = text.get("vocab_size", 1) * text.get("width", 1)
    if isinstance(wanted, int) and wanted > 4 * numbers + _LARGEST * 16:
        raise WeightsError(f"{path} asks for a model far larger than the weights beside it")


def _figure(path: Path, name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WeightsError(f"{path}: {name} is {value!r:.60}, not a number from {low} to {high}")


def _weights_file(folder: Path) -> Path:
    """The safetensors that open_clip will take."""
    _open_clip()
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


def square_side(size: Any) -> int:
    """The side of a square input size, in pixels."""
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
        import open_clip  # 4 s with torch: only where it is needed
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

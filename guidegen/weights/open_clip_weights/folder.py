"""A folder in open_clip's own layout: its config and its weights file, checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from guidegen.errors import WeightsError
from guidegen.utils.parse import parse_json, read_text
from guidegen.weights.open_clip_weights.quiet import import_open_clip, one_line, quiet

CONFIG = "open_clip_config.json"
# What figures of a config can be: sides in pixels, layers, anything else; numbers of a small model.
_SIDES, _DEEPEST, _LARGEST, _SPARE = (8, 2048), 256, 1 << 21, 1 << 24


def read_config(folder: Path) -> dict[str, Any]:
    """The `model_cfg` of a folder's open_clip_config.json, checked."""
    path = folder / CONFIG
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}")
    try:
        config = parse_json(read_text(path))
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing: a weights file alone does not tell activation and preprocessing"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"can't read {path}: {one_line(error)}") from error
    parts = ("embed_dim", "vision_cfg", "text_cfg")
    model = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(model, dict) or any(part not in model for part in parts):
        raise WeightsError(f"{path} has no model_cfg with {', '.join(parts)}")
    return model


def check_figures(path: Path, config: dict[str, Any], numbers: int) -> None:
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


def weights_file(folder: Path) -> Path:
    """The safetensors that open_clip will take."""
    import_open_clip()
    from open_clip.factory import _find_checkpoint_in_dir

    with quiet():
        found = _find_checkpoint_in_dir(folder)
    if found is None:
        raise WeightsError(f"no weights in {folder}; put open_clip_model.safetensors there")
    if not found.endswith(".safetensors"):
        raise WeightsError(f"{found} is no safetensors file; convert it: guidegen models import")
    return Path(found)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Every tensor of a safetensors file by name and shape, from its header."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is no whole safetensors file ({one_line(error)}); fetch it again"
        ) from error


def square_side(size: Any) -> int:
    """The side of a square input size, in pixels."""
    sides = {int(side) for side in (size if isinstance(size, Sequence) else [size])}
    if len(sides) != 1:
        raise ValueError(f"its input is not square: {size}")
    return sides.pop()

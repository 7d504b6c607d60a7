"""Models with their weights, or a line that says why not."""

import hashlib
import math
from pathlib import Path
from typing import Any

from guidegen.errors import WeightsError
from guidegen.weights.open_clip_weights.folder import (
    CONFIG,
    check_figures,
    read_config,
    square_side,
    tensor_shapes,
    weights_file,
)  # fmt: skip
from guidegen.weights.open_clip_weights.quiet import fetching, import_open_clip, one_line, quiet
from guidegen.weights.open_clip_weights.specs import HUB, IMAGE_TOWER, LOCAL, needs_quick_gelu
from guidegen.weights.store import embedded, folder_digest, sha256_file

_TIMM = "timm_model_name"


def load_folder(folder: Path) -> tuple[Any, Any, str]:
    """Model, tokenizer and digest of a folder in open_clip's own layout.

    A folder with `image_tower.safetensors` in place of a whole model takes everything else from the
    embedded CLIP, whose text tower it was trained with.
    """
    config = read_config(folder)
    if (folder / IMAGE_TOWER).is_file():
        return _load_image_tower(folder, config)
    weights = weights_file(folder)
    shapes = tensor_shapes(weights)
    check_figures(folder / CONFIG, config, sum(map(math.prod, shapes.values())))
    name = f"{LOCAL}{folder}"
    model, tokenizer = _create(name, where=weights)
    # open_clip fails on missing and extra keys, but resizes position embeddings silently
    for key, tensor in model.state_dict().items():
        if key in shapes and math.prod(shapes[key]) != tensor.numel():
            raise WeightsError(
                f"{weights}: {key} has shape {list(shapes[key])} where {CONFIG} asks for "
                f"{list(tensor.shape)}; weights and config do not belong together"
            )
    return model, tokenizer, folder_digest(folder)


def _load_image_tower(folder: Path, config: dict[str, Any]) -> tuple[Any, Any, str]:
    """The embedded CLIP with another image tower.

    The tower is convolutional, so it may be one for pictures of another side.
    """
    from safetensors.torch import load_file

    path, whole = folder / IMAGE_TOWER, embedded("clip")
    side = square_side(config["vision_cfg"].get("image_size"))
    own = read_config(whole)
    name = config["vision_cfg"].get(_TIMM)
    other = name != own["vision_cfg"][_TIMM]
    own["vision_cfg"] |= {"image_size": config["vision_cfg"]["image_size"], _TIMM: name}
    if config != own:
        raise WeightsError(f"{folder / CONFIG} is of another architecture than the embedded CLIP")
    tensor_shapes(path)  # refuses a damaged file
    model, tokenizer, digest = load_folder(whole)
    try:
        if other:
            model.visual = _new_tower(config, model.visual.preprocess_cfg)
        model.visual.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise WeightsError(f"can't load {path}: {one_line(error)}") from None
    _check_finite(model, path)
    model.visual.preprocess_cfg = {**model.visual.preprocess_cfg, "size": (side, side)}
    both = digest + folder_digest(folder)
    return model, tokenizer, hashlib.sha256(both.encode()).hexdigest()


def _new_tower(config: dict[str, Any], preprocess: dict[str, Any]) -> Any:
    with quiet():
        tower: Any = import_open_clip().CLIP(**config).visual
    tower.preprocess_cfg = preprocess
    return tower.eval()


def fetch_zoo(name: str, tag: str) -> Path:
    """The weights file of open_clip's zoo, from the hub's cache or fetched into it."""
    open_clip = import_open_clip()
    with fetching(f"{name}/{tag}"), quiet():
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))


def load_zoo(name: str, tag: str) -> tuple[Any, Any, str]:
    """Model, tokenizer and digest of open_clip's zoo, fetched once."""
    weights = fetch_zoo(name, tag)
    model, tokenizer = _create(
        name, where=weights, pretrained=tag, force_quick_gelu=needs_quick_gelu(name, tag)
    )
    return model, tokenizer, sha256_file(weights)


def fetch_hub(spec: str) -> Path:
    """The weights file of a hub repository in open_clip's layout, from the cache or fetched."""
    import_open_clip()
    from open_clip.pretrained import download_pretrained_from_hf

    repository = spec.removeprefix(HUB)
    with fetching(spec), quiet():
        download_pretrained_from_hf(repository, filename=CONFIG)
        return Path(download_pretrained_from_hf(repository))


def load_hub(spec: str) -> tuple[Any, Any, str]:
    """Model, tokenizer and digest of a hub repository in open_clip's layout."""
    weights = fetch_hub(spec)
    model, tokenizer = _create(spec, where=weights)
    return model, tokenizer, sha256_file(weights)


def _create(name: str, *, where: Path, **options: Any) -> tuple[Any, Any]:
    """Model with its weights, and tokenizer; every complaint becomes a WeightsError."""
    open_clip = import_open_clip()
    try:
        with quiet():
            model = open_clip.create_model_from_pretrained(name, return_transform=False, **options)
            tokenizer = open_clip.get_tokenizer(name)
        preprocess = model.visual.preprocess_cfg
        square_side(preprocess["size"])
        for key, low in (("mean", -math.inf), ("std", 0)):
            if len(preprocess[key]) != 3 or not all(value > low for value in preprocess[key]):
                raise ValueError(f"preprocess_cfg has the {key} {preprocess[key]}")
    except ImportError as error:
        raise WeightsError(f"{name} needs a package that is not here: {one_line(error)}") from error
    except Exception as error:
        # open_clip, timm, torch and safetensors raise a dozen types for a file that does not fit
        raise WeightsError(f"can't load {where}: {one_line(error)}") from error
    _check_finite(model, where)
    return model, tokenizer


def _check_finite(model: Any, where: Path) -> None:
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{where}: {key} holds values that are not finite; fetch it again")

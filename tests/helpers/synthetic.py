"""Random weights in the layouts in which the real checkpoints are published, scaled down."""

import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType

import torch
import yaml
from safetensors.torch import save_file

from guidegen.weights.catalog import read_registry
from guidegen.weights.reference import TamingVQGAN, biggan

# name in the registry -> (codebook entries, how its file is wrapped)
VQGAN_FAMILIES = {
    "vqgan/imagenet-f16-16384": (96, "lightning"),
    "vqgan/imagenet-f16-1024": (48, "plain"),
    "vqgan/openimages-gumbel-f8": (64, "lightning"),
    "vqgan/wikiart-16384": (96, "lightning"),
    "vqgan/sflckr": (48, "net2net"),
    "vqgan/coco": (80, "first stage"),
    "vqgan/faceshq": (48, "net2net"),
}
BIGGAN_FAMILIES = ("biggan/deep-128", "biggan/deep-256", "biggan/deep-512")


def vqgan_config(name: str = "vqgan/imagenet-f16-16384", n_embed: int = 48) -> dict:
    """A published config with few channels; as many levels and attentions as the real one."""
    config = dict(read_registry().checkpoints[name].config)
    dd = config["ddconfig"]
    small = {"ch": 32, "ch_mult": [1] * len(dd["ch_mult"]), "num_res_blocks": 1, "z_channels": 8}
    return {**config, "embed_dim": 8, "n_embed": n_embed, "ddconfig": {**dd, **small}}


def vqgan_state(config: dict, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """taming's own state_dict of such a model, random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TamingVQGAN(config).state_dict()


def vqgan_yaml(config: dict, *, net2net: bool = False) -> dict:
    """The config as taming writes it next to a checkpoint."""
    params = {key: value for key, value in config.items() if key != "kind"}
    params["lossconfig"] = {"target": "taming.modules.losses.DummyLoss"}
    model = {"target": f"taming.models.vqgan.{config['kind']}", "params": params}
    if net2net:
        gpt = {"target": "taming.modules.transformer.mingpt.GPT", "params": {"vocab_size": 8}}
        model = {
            "target": "taming.models.cond_transformer.Net2NetTransformer",
            "params": {"transformer_config": gpt, "first_stage_config": model},
        }
    return {"model": {"base_learning_rate": 4.5e-6, **model}}


def write_vqgan(folder: Path, name: str, *, seed: int = 0) -> tuple[Path, Path]:
    """The checkpoint and the config of a published family; returns their paths."""
    codes, wrapper = VQGAN_FAMILIES[name]
    config = vqgan_config(name, codes)
    state = vqgan_state(config, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    yaml_path = folder / "model.yaml"
    yaml_path.write_text(yaml.safe_dump(vqgan_yaml(config, net2net=wrapper == "net2net")))
    loss = {
        "loss.discriminator.main.0.weight": torch.zeros(4, 3, 4, 4),
        "loss.logvar": torch.ones(1),
    }
    if wrapper == "plain":
        path = folder / "pytorch_model.bin"
        torch.save({**state, **loss}, path)
    elif wrapper == "first stage":
        path = folder / "coco.ckpt"
        torch.save({"state_dict": state}, path)
    else:
        path = folder / "last.ckpt"
        if wrapper == "net2net":
            state = {f"first_stage_model.{key}": value for key, value in state.items()}
            state["transformer.tok_emb.weight"] = torch.zeros(8, 4)
            state["transformer.blocks.0.attn.mask"] = torch.ones(1, 1, 4, 4)
            state["cond_stage_model.encoder.conv_in.weight"] = torch.zeros(4, 182, 3, 3)
            loss = {}
        write_lightning(path, {**state, **loss})
    return path, yaml_path


def write_lightning(path: Path, state: dict, *, package: str = "pytorch_lightning") -> Path:
    """A checkpoint as Lightning 1.0 wrote it: the class itself is a key of `callbacks`."""
    module = f"{package}.callbacks.model_checkpoint"
    checkpoint = type("ModelCheckpoint", (), {"__module__": module})
    data = {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "1.0.8",
        "state_dict": state,
        "callbacks": {checkpoint: {"best_model_score": torch.tensor(0.5), "best_model_path": "x"}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}}],
        "lr_schedulers": [],
    }
    # pickle writes a class as its name, and looks that the name leads to it
    names = [module.rsplit(".", count)[0] for count in range(module.count("."), -1, -1)]
    before = {name: sys.modules.get(name) for name in names}
    try:
        for name in names:
            sys.modules[name] = ModuleType(name)
        sys.modules[module].ModelCheckpoint = checkpoint
        torch.save(data, path)
    finally:
        for name, old in before.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old
    return path


def biggan_config(name: str = "biggan/deep-128") -> dict:
    """A published config with 8 channels instead of 128."""
    return {**read_registry().checkpoints[name].config, "channel_width": 8}


def biggan_state(config: dict, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """The package's own state_dict of such a model, random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = biggan(config)
        # the package leaves these as it finds them in memory
        torch.nn.init.ones_(model.generator.bn.weight)
        torch.nn.init.zeros_(model.generator.bn.bias)
    return model.state_dict()


def write_biggan(folder: Path, name: str = "biggan/deep-128", *, seed: int = 0) -> Path:
    """`pytorch_model.bin` with `config.json` beside it, in the format before torch 1.6."""
    config = biggan_config(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    path = folder / "pytorch_model.bin"
    state = settled_biggan_state(config, seed=seed)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def write_stored_vqgan(
    folder: Path, name: str, *, kind: str = "VQModel", f: int = 16, seed: int = 0
) -> dict:
    """A random VQGAN in the store's format: `<folder>/<backend>/<variant>/`; returns its config."""
    family = "vqgan/openimages-gumbel-f8" if f == 8 else "vqgan/imagenet-f16-16384"
    config = {**vqgan_config(family, 64), "kind": kind}
    dd = config["ddconfig"]
    # different widths of levels, so that shortcuts between them are there, too
    config["ddconfig"] = {**dd, "ch_mult": [*dd["ch_mult"][:-1], 2]}
    state = vqgan_state(config, seed=seed)
    weight = "quantize.embed.weight" if kind == "GumbelVQ" else "quantize.embedding.weight"
    # as wide as a trained codebook, not the 1/n of a fresh one
    noise = torch.Generator().manual_seed(seed)
    state[weight] = torch.randn(state[weight].shape, generator=noise)
    write_stored(folder / name, state, config)
    return config


def write_stored(folder: Path, state: dict, config: dict) -> Path:
    """A model folder of the store with these tensors and this config."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    (folder / "config.json").write_text(json.dumps(config))
    source = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "source": "made up"}
    (folder / "source.json").write_text(json.dumps({**source, "licence": "none"}))
    return folder


def settled_biggan_state(config: dict, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights as training leaves them, so that signals neither vanish nor explode.

    Statistics that differ by truncation, attention that counts, u and v of the spectral norms where
    power iteration ends.
    """
    state = biggan_state(config, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    for key, value in state.items():
        if key.endswith("running_means"):
            value.normal_(0, 0.3, generator=rng)
        elif key.endswith("running_vars"):
            value.uniform_(0.2, 2, generator=rng)
        elif key.endswith("gamma"):
            value.fill_(0.7)
        elif key == "embeddings.weight":
            value.normal_(0, 0.2, generator=rng)
        elif key.endswith("bias"):
            value.normal_(0, 0.1, generator=rng)
        elif key.endswith("weight_orig"):
            matrix = value.flatten(1)
            u, v = (state[key.replace("weight_orig", f"weight_{n}")] for n in "uv")
            for _ in range(20):
                v.copy_(torch.nn.functional.normalize(matrix.T @ u, dim=0))
                u.copy_(torch.nn.functional.normalize(matrix @ v, dim=0))
    return state


def write_stored_biggan(folder: Path, name: str, *, seed: int = 0) -> dict:
    """A random BigGAN in the store's format, like `write_stored_vqgan`; returns its config."""
    config = biggan_config(name if name in BIGGAN_FAMILIES else "biggan/deep-128")
    write_stored(folder / name, settled_biggan_state(config, seed=seed), config)
    return config

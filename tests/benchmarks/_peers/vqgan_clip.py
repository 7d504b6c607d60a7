"""A step of nerdyrodent/VQGAN-CLIP: functions of its generate.py, taken from a clone.

Its script does everything at module level, so its functions and classes are executed one by one
from the file that is given; nothing of it is here. What stands here is what its script sets up for
them with its default arguments. Its CLIP is OpenAI's package; big-sleep's copy of that serves.
Saving, every 50th step there, is left out.
"""

import ast
import json
import math
import random
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file
from torch import nn, optim
from torchvision import transforms
from torchvision.transforms import functional as TF
from tqdm import tqdm

from tests.benchmarks._peers import big_sleep
from tests.benchmarks._peers.case import Contest
from tests.benchmarks._peers.ours import Look, Step


def build(contest: Contest) -> tuple[Step, Look]:
    """One step as a function, and the features of images."""
    sys.path.insert(0, contest.extra)
    import kornia.augmentation as K

    big_sleep.import_package(contest)
    from big_sleep import clip

    case, device = contest.case, torch.device(contest.device)
    args = Namespace(
        augments=[["Af", "Pe", "Ji", "Er"]],
        init_weight=0.0,
        make_video=False,
        display_freq=10**9,
        cutn=case.cutouts,
        step_size=0.1,
    )
    names: dict[str, Any] = {
        "torch": torch, "nn": nn, "F": F, "optim": optim, "math": math, "np": np, "K": K,
        "random": random, "transforms": transforms, "TF": TF, "Image": Image, "tqdm": tqdm,
        "PngImagePlugin": PngImagePlugin, "clip": clip, "args": args, "device": device,
        "gumbel": False, "i": 1,
    }  # fmt: skip
    take_functions(Path(contest.vqgan_clip) / "generate.py", names)
    model = load_vqgan(contest).to(device)
    perceptor = big_sleep.load_clip(contest).eval().requires_grad_(False)
    table = model.quantize.embedding.weight
    side = case.size // 2 ** (model.decoder.num_resolutions - 1)
    codes = torch.randint(len(table), [side * side], device=device)
    z = table[codes].view(1, side, side, -1).permute(0, 3, 1, 2).clone().requires_grad_(True)
    normalize = transforms.Normalize(
        mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711]
    )
    names.update(
        model=model,
        perceptor=perceptor,
        z=z,
        z_orig=z.detach().clone(),
        z_min=table.min(dim=0).values[None, :, None, None],
        z_max=table.max(dim=0).values[None, :, None, None],
        normalize=normalize,
        make_cutouts=names["MakeCutouts"](224, case.cutouts, cut_pow=1.0),
        opt=optim.Adam([z], lr=args.step_size),
    )
    embedding = perceptor.encode_text(clip.tokenize("a red apple").to(device)).float()
    names["pMs"] = [names["Prompt"](embedding).to(device)]

    def look(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return perceptor.encode_image(normalize(images)).float()

    return lambda: names["train"](1), look


def take_functions(script: Path, names: dict[str, Any]) -> None:
    """Execute its functions, its classes and the names of its two autograd functions."""
    for node in ast.parse(script.read_text()).body:
        alias = isinstance(node, ast.Assign) and ast.unparse(node).endswith(".apply")
        if alias or isinstance(node, ast.FunctionDef | ast.ClassDef):
            exec(compile(ast.Module([node], []), str(script), "exec"), names)


def load_vqgan(contest: Contest) -> Any:
    """taming's own model, as its script loads it; frozen, without the loss."""
    try:
        import pytorch_lightning.utilities.distributed  # noqa: F401
    except ImportError:
        # moved since taming was written
        import pytorch_lightning.utilities as utilities

        moved = ModuleType("pytorch_lightning.utilities.distributed")
        moved.rank_zero_only = utilities.rank_zero_only  # type: ignore[attr-defined]
        sys.modules[moved.__name__] = moved
    from taming.models.vqgan import VQModel

    folder = contest.folder / "weights" / contest.case.generator
    config = json.loads((folder / "config.json").read_text())
    del config["kind"]
    model = VQModel(lossconfig={"target": "torch.nn.Identity"}, **config)
    model.eval().requires_grad_(False)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    del model.loss
    return model

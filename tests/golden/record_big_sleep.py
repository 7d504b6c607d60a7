"""Runs big-sleep itself and writes down what it does, for `test_big_sleep_parity.py`.

By hand, where the package `big-sleep` 0.9.1 is on the path (it is no dependency of ours):

    pip install --no-deps --target FOLDER big-sleep
    PYTHONPATH=FOLDER python -m tests.golden.record_big_sleep

Its own code draws the latents and the crops and computes loss, gradient, steps and average. Only
what it would download or needs CUDA for is replaced: BigGAN and CLIP have random weights, and
`.cuda()` stays on the CPU.
"""

import importlib
import json
import random
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import open_clip
import torch
from safetensors.torch import load_file, save_file
from torchvision.transforms import Normalize

from tests.helpers.synthetic import write_stored_biggan
from tests.helpers.tiny_clip import MODEL, PREPROCESS

HERE = Path(__file__).parent
FIGURES, LATENTS = HERE / "big_sleep.json", HERE / "big_sleep.safetensors"
GENERATOR = "biggan/deep-128"
STEPS, CUTOUTS, LR = 5, 3, 0.07


@dataclass(frozen=True)
class Case:
    """One run of big-sleep.

    Attributes:
        towards: encoded prompts.
        away: encoded prompts of its `text_min`.
        max_classes: its option; None is the sigmoid.
        ema_decay: its option.
        seed: of its random numbers.
    """

    towards: int = 1
    away: int = 0
    max_classes: int | None = None
    ema_decay: float = 0.99
    seed: int = 0


CASES = {
    "defaults": Case(),
    "classes and prompts": Case(towards=2, away=1, max_classes=4, ema_decay=0.5, seed=1),
}


def texts(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of the prompts, [k, d] and [m, d]; not of unit norm, as CLIP gives them."""
    rng = torch.Generator().manual_seed(case.seed + 100)
    width = MODEL["embed_dim"]
    return (
        3 * torch.randn(case.towards, width, generator=rng),
        3 * torch.randn(case.away, width, generator=rng),
    )


def write_models(folder: Path) -> Path:
    """BigGAN into the store `folder` and a CLIP of 224 px; returns the CLIP's folder."""
    write_stored_biggan(folder, GENERATOR)
    vision = {**MODEL["vision_cfg"], "image_size": 224, "patch_size": 32}
    config = json.loads(json.dumps({**MODEL, "vision_cfg": vision}))
    clip = folder / "clip"
    clip.mkdir()
    preprocess = {"model_cfg": config, "preprocess_cfg": PREPROCESS}
    (clip / "open_clip_config.json").write_text(json.dumps(preprocess))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**json.loads(json.dumps(config)))
    # a fresh tower hardly looks at its patches: its positions and its class token outweigh them
    state = model.state_dict()
    state["visual.conv1.weight"] *= 20
    save_file(state, clip / "open_clip_model.safetensors")
    return clip


def weight_sums(folder: Path) -> list[float]:
    """Sum of |w| of both models: the same wherever the same random numbers are drawn."""
    files = (folder / GENERATOR / "model.safetensors", folder / "clip/open_clip_model.safetensors")
    return [sum(v.double().abs().sum().item() for v in load_file(f).values()) for f in files]


def run_big_sleep(case: Case, folder: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """Six evaluations and five updates of big-sleep with the models of `write_models`.

    Returns:
        Figures: "losses" (total, one a step), "parts" (latents', classes', CLIP's), "crops" (one
        [top, left, side] in pixels a cutout); tensors: start, end and average of the latents.
    """
    with ExitStack() as stack:
        program = _import_big_sleep(stack)
        crops: list[list[int]] = []
        original = program.rand_cutout

        def cutout(image, size, **options):
            crops.append([size])
            return original(image, size, **options)

        def randint(low, high):
            crops[-1].append(random.randint(low, high))
            return crops[-1][-1]

        stack.enter_context(patch.object(program, "rand_cutout", cutout))
        stack.enter_context(
            patch.object(program, "random", SimpleNamespace(randint=randint, gauss=random.gauss))
        )
        network, perceptor, normalise = _models(folder)
        stack.enter_context(
            patch.object(program.BigGAN, "from_pretrained", lambda name: network(program.BigGAN))
        )
        stack.enter_context(patch.object(program, "load", lambda name, jit: (perceptor, normalise)))
        towards, away = texts(case)
        random.seed(case.seed)
        imagine = program.Imagine(
            encoding=towards[:1], seed=case.seed, image_size=128, num_cutouts=CUTOUTS, lr=LR,
            max_classes=case.max_classes, ema_decay=case.ema_decay, save_every=10**9,
            open_folder=False,
        )  # fmt: skip
        imagine.encoded_texts = {"max": list(towards[:, None]), "min": list(away[:, None])}
        latents = imagine.model.model.latents
        tensors = {f"start.{name}": value.clone() for name, value in _named(latents.model)}
        totals, parts = [], []
        seen = imagine.model.forward

        def forward(*arguments):
            out, losses = seen(*arguments)
            parts.append([loss.item() for loss in losses])
            return out, losses

        stack.enter_context(patch.object(imagine.model, "forward", forward))
        for step in range(STEPS + 1):
            if step == STEPS:
                tensors |= {f"end.{name}": value.clone() for name, value in _named(latents.model)}
                average = _named(latents.average)
                tensors |= {f"average.{name}": value.clone() for name, value in average}
            _, total = imagine.train_step(0, step)
            totals.append(total.item())
    steps = [
        [[top, left, side] for side, top, left in crops[i : i + CUTOUTS]]
        for i in range(0, len(crops), CUTOUTS)
    ]
    return {"losses": totals, "parts": parts, "crops": steps}, tensors


def _named(latents):
    return [("z", latents.normu.detach()), ("class_logits", latents.cls.detach())]


def _models(folder: Path):
    """What makes big-sleep's own BigGAN with these weights, and the CLIP with its normalisation."""
    config = json.loads((folder / GENERATOR / "config.json").read_text())

    def network(kind):
        settings = importlib.import_module("big_sleep.biggan").BigGANConfig.from_dict(config)
        made = kind(settings)
        made.load_state_dict(load_file(folder / GENERATOR / "model.safetensors"))
        return made

    settings = json.loads((folder / "clip/open_clip_config.json").read_text())
    clip = open_clip.CLIP(**settings["model_cfg"])
    clip.load_state_dict(load_file(folder / "clip/open_clip_model.safetensors"))
    preprocess = settings["preprocess_cfg"]
    return network, clip.eval(), Normalize(preprocess["mean"], preprocess["std"])


def _import_big_sleep(stack: ExitStack):
    """The module, although it asks for CUDA and takes Ctrl-C for itself when it is imported."""
    kept = signal.getsignal(signal.SIGINT)
    with patch("torch.cuda.is_available", lambda: True):
        program = importlib.import_module("big_sleep.big_sleep")
    signal.signal(signal.SIGINT, kept)
    for kind in (torch.Tensor, torch.nn.Module):
        stack.enter_context(patch.object(kind, "cuda", lambda self: self))
    stack.enter_context(torch.random.fork_rng(devices=[]))
    return program


def main() -> None:
    """Write the figures and the latents."""
    figures, latents = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder)
        for key, case in CASES.items():
            found, tensors = run_big_sleep(case, folder)
            figures[key] = {"case": asdict(case), **found}
            latents |= {f"{key}/{part}": tensor for part, tensor in tensors.items()}
        figures["weights"] = weight_sums(folder)
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    save_file(latents, LATENTS)
    sys.stdout.write(f"wrote {FIGURES} and {LATENTS}\n")


if __name__ == "__main__":
    main()

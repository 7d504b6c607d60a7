"""A step of lucidrains/big-sleep: its own package, patched as far as it must be.

Patched: the assertion of CUDA at import and `.cuda()` where the device is another one, and the
downloads of BigGAN and CLIP, which become the given weights. On a GPU its CLIP computes in fp16 as
it does by itself; precision "fp32" makes it float32.
"""

import json
import signal
import sys
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file

from tests.benchmarks._peers.case import Contest
from tests.benchmarks._peers.ours import Look, Step


def build(contest: Contest) -> tuple[Step, Look]:
    """One step as a function, and the features of images."""
    module = import_package(contest)
    case = contest.case
    clip = load_clip(contest)

    def from_pretrained(name: str) -> Any:
        assert name == f"biggan-deep-{case.size}"
        folder = contest.folder / "weights" / case.generator
        config = json.loads((folder / "config.json").read_text())
        model = module.BigGAN(sys.modules["big_sleep.biggan"].BigGANConfig.from_dict(config))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model

    module.BigGAN.from_pretrained = staticmethod(from_pretrained)
    normalise = sys.modules["big_sleep.clip"]._transform()
    module.load = lambda *_, **__: (clip, normalise)
    dream = module.Imagine(
        text="a red apple",
        image_size=case.size,
        num_cutouts=case.cutouts,
        save_every=10**9,
        open_folder=False,
        seed=None,
    )
    count = iter(range(10**9))

    def look(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return clip.encode_image(normalise(images).to(clip.dtype)).float()

    return lambda: dream.train_step(0, next(count)), look


def import_package(contest: Contest) -> Any:
    """Its main module."""
    sys.path.insert(0, contest.big_sleep)
    handler = signal.getsignal(signal.SIGINT)
    with mock.patch("torch.cuda.is_available", return_value=True):
        from big_sleep import big_sleep
    signal.signal(signal.SIGINT, handler)
    if not contest.device.startswith("cuda"):
        for kind in (torch.nn.Module, torch.Tensor):
            kind.cuda = lambda self, *_, **__: self.to(contest.device)
    return big_sleep


def load_clip(contest: Contest) -> Any:
    """Its CLIP, a copy of OpenAI's, with the given weights."""
    from big_sleep import clip

    state = load_file(contest.folder / "clip" / "open_clip_model.safetensors")
    model = clip.build_model(state).to(contest.device)
    if contest.device == "cpu" or contest.precision == "fp32":
        model.float()
    return model

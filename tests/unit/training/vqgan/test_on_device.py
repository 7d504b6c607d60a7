"""A step of the VQGAN's training on a device that can't be read: `meta` holds no numbers.

Whatever would make a GPU wait for the CPU fails there, and whatever is on the wrong device.
"""

import contextlib

import numpy as np
import pytest
import torch

from guidegen.training.vqgan import trainer as training
from guidegen.training.vqgan.model import SMALL, VQGAN
from guidegen.training.vqgan.scenes import CleanScenes

META = torch.device("meta")
TINY = {**SMALL, "ch": 32, "ch_mult": [1, 1, 1, 1], "z_channels": 8, "resolution": 32}


@pytest.mark.slow  # meta's kernels take seconds to import
def test_a_step_never_waits_for_its_device(tmp_path, monkeypatch):
    # autocast knows no meta
    monkeypatch.setattr(training, "bf16_where_quick", lambda device: contextlib.nullcontext())
    cutouts = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 4), dtype=np.uint8)
    with META:
        model = VQGAN(TINY, n_embed=16, embed_dim=4)
    config = training.VQGANConfig(
        steps=2, plain_steps=None, batch=8, size=32, early_share=0.5, adversarial=0.5,
        noise=0.5, scramble=0.5, sampled=0.5, save_every=10, compile=False,
    )  # fmt: skip
    ours = training.VQGANTrainer(
        model, CleanScenes(cutouts, seed=0, device=META).batch, None, config,
        state_file=tmp_path / "state.pt", seed=0,
    )  # fmt: skip
    ours.pace.start(0)
    for step in range(2):  # crops, then whole pictures
        losses = ours._train_step()
        ours.pace.tick(step + 1)
        assert all(loss.device == META for loss in losses.values())
    assert set(losses) == {"l1", "adversarial", "sampled", "discriminator", "commit", "codes"}

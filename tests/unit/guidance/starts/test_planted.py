"""A picture planted in a synthetic BigGAN, and what finds it: as the engine runs it, by its loss.

The prompt is a picture of one of twenty classes, seen by a CLIP of random weights. At so small a
learning rate a start keeps its class, so a gradient from one start ends in the wrong place unless
it began in the right one.
"""

import pytest
import torch
from torchvision.utils import save_image

from generators import BIGGAN
from generators.biggan.generator import BigGAN
from guidegen.config import make_config
from guidegen.engine.generate import generate
from guidegen.weights.store import stored
from tests.helpers.synthetic import biggan_config, settled_biggan_state, write_stored
from tests.helpers.tiny_clip import make_tiny_clip

NAME = "biggan/deep-128"
SMALL = {
    "num_classes": 20,
    "z_dim": 16,
    "class_embed_dim": 16,
    "output_dim": 32,
    "attention_layer_position": 2,
    "layers": [[False, 16, 16], [True, 16, 8], [True, 8, 4], [False, 4, 2], [True, 2, 1]],
}
WAYS = {
    "adam": {"starts": 1},
    "mixture": {"starts": 100, "mix": 5},
    "cma-es": {"starts": 1, "evolve": 15, "population": 16},
}
# A twentieth of what starts of the wrong class have; the planted picture itself has none.
_FOUND = 0.02


def plant(folder, number):
    """A BigGAN and a CLIP of random weights, and the settings that look for a picture of it."""
    config = {**biggan_config(NAME), **SMALL}
    state = settled_biggan_state(config, seed=1)
    state["embeddings.weight"] *= 3  # so that the class counts for more than z
    write_stored(folder / NAME, state, config)
    clip = make_tiny_clip(folder / "clip", seed=1)
    model = BigGAN(BIGGAN.info("deep-128"), stored(NAME), device="cpu", options={"start": "class"})
    latents = model.init(1, rngs=[torch.Generator().manual_seed(1000 + number)])
    save_image(model.decode(latents), folder / "planted.png")
    return {
        "image_prompt": [str(folder / "planted.png")],
        "generator": NAME,
        "option": ["start=class", "prior=none"],
        "perceptor": [f"local-dir:{clip}"],
        "steps": 40,
        "lr": 0.01,
        "cutouts": 1,
        "cutout_whole": 1.0,
        "cutout_shift": 0.0,
        "cutout_noise": 0.0,
        "prior": 0.0,
    }


def loss(settings, seed):
    """Of the picture that such a run ends with."""
    (picture,) = generate([make_config({**settings, "prompt": "", "seed": seed})], write=False)
    return picture.scores["loss"]


@pytest.mark.slow
def test_mixing_and_evolution_find_what_adam_from_one_start_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path))
    settings = plant(tmp_path, 10)
    found = {
        name: sum(loss({**settings, **way}, seed) < _FOUND for seed in range(20))
        for name, way in WAYS.items()
    }
    print(found)
    assert found["adam"] <= 6
    assert found["mixture"] >= 16
    assert found["cma-es"] >= 16

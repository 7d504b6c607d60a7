"""What only a GPU can show: agreement with the CPU, batches, precisions, going on, running out."""

import numpy as np
import pytest
import torch

from guidegen.clip.perceptor import load_perceptor
from guidegen.config import make_config
from guidegen.engine import generate as engine

pytestmark = pytest.mark.gpu

QUICK = {"steps": 6, "starts": 4, "size": "256", "device": "cuda"}


def pixels(*configs, **options):
    pictures = engine.generate(configs, **options)
    return [np.asarray(picture.image).astype(int) for picture in pictures]


def config(prompt, out, **fields):
    return make_config({"prompt": prompt, "out": out, **QUICK, **fields})


def test_clip_sees_the_same_on_both_devices():
    images = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    wanted = load_perceptor("embedded", device="cpu", precision="fp32").encode_image(images)
    for precision, least in (("fp32", 0.9999), ("bf16", 0.99), ("fp16", 0.999)):
        seen = load_perceptor("embedded", device="cuda", precision=precision)
        found = seen.encode_image(images.cuda()).cpu()
        assert (found * wanted).sum(1).min() > least, precision


@pytest.mark.parametrize("generator", ["collage", "fourier", "pixels"])
def test_the_same_command_gives_the_same_picture(tmp_path, generator):
    one = pixels(config("a red apple", tmp_path, generator=generator), write=False)
    two = pixels(config("a red apple", tmp_path, generator=generator), write=False)
    assert abs(one[0] - two[0]).max() <= 2


def test_eight_together_come_near_each_alone(tmp_path):
    configs = [config("a red apple", tmp_path, seed=seed, precision="fp32") for seed in range(8)]
    together = pixels(*configs, write=False)
    alone = pixels(configs[3], write=False)
    assert np.abs(together[3] - alone[0]).mean() < 2


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_lowers_the_loss(tmp_path, precision):
    before, after = (
        next(iter(engine.generate([config("a red apple", tmp_path, precision=precision, steps=n)])))
        for n in (0, 30)
    )
    assert after.scores["loss"] < before.scores["loss"]


def test_running_out_of_memory_halves_the_batch(tmp_path, caplog):
    config_ = config("a red apple", tmp_path, generator="fourier", cutouts=256, cutout_batch=256)
    pixels(config_, write=False)
    peak = torch.cuda.max_memory_allocated() / torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(peak * 0.6)
    try:
        pixels(config_, write=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory: going on with" in caplog.text

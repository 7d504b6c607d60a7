"""The upscaler against ncnn, for which its weights were written; see record_upscaler.py."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from guidegen.media.upscale import load_upscaler


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_pictures_are_those_of_ncnn_with_the_same_files(factor):
    known = load_file(Path(__file__).with_name("upscaler.safetensors"))
    upscaler = load_upscaler("cpu", "fp32")
    with torch.inference_mode():
        found = upscaler.enlarge_floats(torch.from_numpy(known["input"])[None], factor)
    assert np.abs(found[0].numpy() - known[f"x{factor}"]).max() < 1e-4

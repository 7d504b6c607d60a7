"""Records what ncnn itself computes with the upscaler's files, for test_upscaler.py.

pip install ncnn safetensors
python tests/golden/record_upscaler.py FOLDER_WITH_THE_UNPACKED_WHEEL
"""

import sys
from pathlib import Path

import ncnn
import numpy as np
from safetensors.numpy import save_file


def main(folder: Path) -> None:
    picture = np.random.default_rng(0).random((3, 8, 7), dtype=np.float32)
    picture[:, :4] = np.linspace(0, 1, 7, dtype=np.float32)
    found = {"input": picture}
    for factor in (2, 3, 4):
        (param,) = folder.rglob(f"realesr-animevideov3-x{factor}.param")
        net = ncnn.Net()
        for name in ("packed", "storage", "arithmetic"):
            setattr(net.opt, f"use_fp16_{name}", False)
        net.load_param(str(param))
        net.load_model(str(param.with_suffix(".bin")))
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(picture))
        found[f"x{factor}"] = np.array(extractor.extract("output")[1])
    save_file(found, Path(__file__).with_name("upscaler.safetensors"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

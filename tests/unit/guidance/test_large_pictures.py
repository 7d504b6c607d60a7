"""Large pictures: memory is that of their pixels, however many views are taken."""

import subprocess
import sys
from pathlib import Path

import pytest

# Prints the peak of two steps in MiB.
PROGRAM = """
import sys
import torch.nn.functional as F
from guidegen.cutouts import CutoutSettings
from guidegen.guidance.regions import region_terms
from guidegen.prompt.regions import parse_region
from guidegen.registry import find
from tests.helpers.fakes import TinyPerceptor
from tests.helpers.loops import make_loop

class Sharp(TinyPerceptor):
    input_size = 64

    def encode_image(self, images):
        return super().encode_image(F.adaptive_avg_pool2d(images, 16))

name, side, views = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
backend, variant = find(name)
generator = backend.load(variant, size=(side, side), device="cpu")
cutouts = CutoutSettings(count=views, overview=0.3, scale=(0.05, 0.3))
loop = make_loop(
    ["0.9,0.1,0.1"], [1], generator=generator, perceptors=((Sharp(), 1.0),), cutouts=cutouts,
    batch=8, steps=1,
)
regions = region_terms([parse_region("0.1,0.1,0.9=left", 1)], loop.context, cutouts=cutouts)
loop = loop.but(objective=loop.evaluator.objective.and_terms(regions))
loop.run()
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""


def peak(name, side, views):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(side), str(views)],
        capture_output=True, text=True, check=True, timeout=300, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("name", ["pyramid", "siren"])
def test_memory_does_not_grow_with_the_views_and_is_a_few_times_the_pixels(name):
    few, many = peak(name, 1024, 8), peak(name, 1024, 128)
    assert many < few + 96
    small = peak(name, 256, 8)
    pixels = 12 * (1024**2 - 256**2) / 2**20  # RGB in float32, MiB
    print(f"{name}: {small:.0f} MiB at 256, {few:.0f} at 1024 with 8 views, {many:.0f} with 128")
    assert few - small < 45 * pixels

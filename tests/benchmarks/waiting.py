"""How OpenMP's threads should wait: the embedded CLIP under several settings, one process each.

    python -m tests.benchmarks.waiting [--seconds 8] [--busy 0] [--json FILE]

Run it on an idle machine, and again with `--busy N` for N processes that compute all the while. A
good default is near the best in both. Columns: seconds of the clock and of computing for eight
images forward and back; the least, the median, and how many were done.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

SETTINGS: dict[str, dict[str, str]] = {
    "GNU's default": {"GOMP_SPINCOUNT": "300000"},
    "spins 10000": {"GOMP_SPINCOUNT": "10000"},
    "spins 1000": {"GOMP_SPINCOUNT": "1000"},
    "spins 100": {"GOMP_SPINCOUNT": "100"},
    "spins 0": {"GOMP_SPINCOUNT": "0"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
WORK = """
import json, sys, time
import guidegen
from guidegen.clip.perceptor import load_perceptor
import torch
clip = load_perceptor("embedded", device="cpu", precision="fp32")
images = torch.rand(8, 3, clip.input_size, clip.input_size)
def once():
    seen = images.clone().requires_grad_()
    clip.encode_image(seen).square()[:, ::2].sum().backward()
once()
wall, begun, computing = [], time.perf_counter(), time.process_time()
while time.perf_counter() - begun < float(sys.argv[1]) or len(wall) < 2:
    start = time.perf_counter()
    once()
    wall.append(time.perf_counter() - start)
print(json.dumps({"wall": wall, "cpu": (time.process_time() - computing) / len(wall)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.busy)
    ]
    results = {}
    try:
        for name, setting in SETTINGS.items():
            out = subprocess.run(
                [sys.executable, "-c", WORK, str(args.seconds)],
                env={**plain, **setting}, check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            found = results[name] = json.loads(out)
            wall = found["wall"]
            print(
                f"{name:14} least {min(wall):.3f} s  median {statistics.median(wall):.3f} s  "
                f"computing {found['cpu']:.3f} s  {len(wall):4} times",
                flush=True,
            )
    finally:
        for other in others:
            other.kill()
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

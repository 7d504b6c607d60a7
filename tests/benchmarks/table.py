"""Size, memory and seconds a step of every generator and CLIP that one can name.

    python -m tests.benchmarks.table [--device cpu] [--steps 3] [--only TEXT] [--json FILE]

Generators run with ViT-B/32 on 32 cutouts, CLIPs with the pixels generator at 256 px on 32 cutouts,
through the real loop in a process of their own. Weights of published models are random, of the
published shapes: time and memory do not depend on their values.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIP = "ViT-B-32/openai"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.store, args.device, args.steps)))
        return
    from guidegen.registry import backends
    from guidegen.weights.catalog import read_registry

    generators = [
        backend.info(variant).name for backend in backends().values() for variant in backend.names()
    ]
    clips = [
        "embedded",
        # those of the hub have an architecture of the zoo, which stands here already
        *(
            c.name
            for c in read_registry().checkpoints.values()
            if c.family == "clip" and not c.name.startswith("hf-hub:")
        ),
    ]
    rows = []
    with tempfile.TemporaryDirectory() as store:
        for name in [*generators, *clips]:
            if args.only not in name:
                continue
            command = [sys.executable, "-m", "tests.benchmarks.table", "--one", name]
            command += ["--store", store, "--device", args.device, "--steps", str(args.steps)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                print(f"{name}: failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            print(
                f"{row['name']:<34}{row['size']:>5} px {row['parameters'] / 1e6:>8.1f} M"
                f"{row['megabytes']:>8.0f} MB {row['seconds']:>8.3f} s/step",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(name: str, store: Path, device: str, steps: int) -> dict[str, object]:
    """One row: the median step, peak memory, parameters."""
    os.environ["GUIDEGEN_WEIGHTS"] = str(store)
    import torch

    from guidegen.config import make_config
    from guidegen.engine.generate import generate
    from guidegen.registry import backends

    is_generator = name.partition("/")[0] in backends()
    fields: dict[str, object] = {"prompt": "a red apple", "steps": steps, "starts": 1}
    fields |= {"cutouts": 32, "device": device}
    if is_generator:
        fields |= {"generator": name, "perceptor": random_clip(CLIP, store)}
        parameters = random_generator(name, store)
    else:
        fields |= {"generator": "pixels", "size": "256"}
        fields["perceptor"] = "embedded" if name == "embedded" else random_clip(name, store)
        parameters = count(str(fields["perceptor"]))
    times: list[float] = []

    class Clock:
        def __call__(self, step: object) -> None:
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter())

        def close(self) -> None:
            pass

    (picture,) = generate([make_config(fields)], recorders=lambda _: [Clock()], write=False)
    spans = sorted(b - a for a, b in pairwise(times[:-1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {
        "name": name,
        "size": max(picture.image.size),
        "parameters": parameters,
        "megabytes": peak,
        "seconds": spans[len(spans) // 2],
        "threads": torch.get_num_threads(),
        "device": device,
    }


def random_generator(name: str, store: Path) -> int:
    """Random weights of the published shapes in the store; how many numbers they are."""
    from safetensors import safe_open

    from guidegen.weights.catalog import read_registry
    from guidegen.weights.store import find_stored
    from tests.helpers.synthetic import settled_biggan_state, vqgan_state, write_stored

    published = read_registry().checkpoints.get(name)
    if published is not None and published.config and find_stored(name) is None:
        config = dict(published.config)
        make = settled_biggan_state if name.startswith("biggan") else vqgan_state
        write_stored(store / name, make(config), config)
    found = find_stored(name)
    if found is None:
        return 0
    with safe_open(found.weights, "pt") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    return sum(product(shape) for shape in shapes)


def product(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def random_clip(name: str, store: Path) -> str:
    """A CLIP of the zoo with random weights, in open_clip's local layout."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    architecture, _, tag = name.rpartition("/")
    folder = store / "clip" / name.replace("/", "-")
    if not folder.is_dir():
        config = open_clip.get_model_config(architecture)
        about = open_clip.get_pretrained_cfg(architecture, tag)
        torch.manual_seed(0)
        model = open_clip.create_model(architecture, pretrained=None)
        folder.mkdir(parents=True)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, folder / "open_clip_model.safetensors")
        keys = ("mean", "std", "interpolation", "resize_mode")
        preprocess = {key: about[key] for key in keys if key in about}
        (folder / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
        )
    return f"local-dir:{folder}"


def count(perceptor: str) -> int:
    """Numbers in the weights of a local CLIP."""
    from safetensors import safe_open

    from guidegen.weights.store import embedded

    folder = embedded("clip") if perceptor == "embedded" else Path(perceptor.partition(":")[2])
    with safe_open(folder / "open_clip_model.safetensors", "pt") as file:
        return sum(product(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


if __name__ == "__main__":
    main()

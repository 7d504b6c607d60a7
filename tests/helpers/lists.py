"""Small prompt lists drawn into a folder, for tests of batches."""

import hashlib
import json
from pathlib import Path

from PIL import Image

from guidegen.batch.prompt_list import PromptList
from guidegen.batch.run import Local, run_list


def fast(clip, **more):
    """Settings that draw a picture in no time."""
    return {
        "generator": "pixels", "size": "32", "steps": 2, "cutouts": 2, "device": "cpu",
        "perceptor": f"local-dir:{clip}", **more,
    }  # fmt: skip


def draw(path, folder, settings, *, executor=None, count=1, **options):
    """Every result of a list, drawn into a folder."""
    jobs = PromptList(path, {**settings, "out": folder}, count=count)
    jobs.check()
    return list(run_list(jobs, folder, executor or Local(), **options))


def rows(folder):
    """What results.jsonl says."""
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def pictures(folder):
    """Name of each finished run -> digest of its pixels."""
    found = {}
    for manifest in sorted(Path(folder).glob("*/run.json")):
        assert json.loads(manifest.read_text())["status"] == "finished"
        with Image.open(manifest.parent / "image.png") as image:
            found[manifest.parent.name] = hashlib.sha256(image.tobytes()).hexdigest()
    return found

"""Runs the command line in children that may be killed anywhere.

A fork server has torch and guidegen imported already, so that a child starts at once; it computes
nothing itself, since a process with running OpenMP threads must not be forked.
"""

import contextlib
import faulthandler
import hashlib
import io
import json
import multiprocessing
import os
from pathlib import Path

from PIL import Image

CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["guidegen.engine.generate", "guidegen.cli.main", "open_clip"])


def guidegen(*words, cwd, fail="", log=None, **env):
    """Exit code (negative: the signal that ended it) and stderr of one command."""
    process, err = start(*words, cwd=cwd, fail=fail, log=log, **env)
    process.join()
    return process.exitcode, err.read_text()


def start(*words, cwd, fail="", log=None, **env):
    """Start one command; the process and the file of its stderr."""
    err = Path(cwd) / "stderr.txt"
    env = {**env, "GUIDEGEN_FAILPOINT": fail, "OMP_NUM_THREADS": "1"}
    if log:
        env["GUIDEGEN_FAILPOINT_LOG"] = str(log)
    process = CHILDREN.Process(target=_child, args=([str(w) for w in words], str(cwd), err, env))
    process.start()
    return process, err


def _child(words, cwd, err, env):
    os.environ.update(env)
    os.chdir(cwd)
    import torch

    from guidegen.cli.main import main

    torch.set_num_threads(1)
    with err.open("w") as file, contextlib.redirect_stderr(file):
        faulthandler.enable(file)
        with contextlib.redirect_stdout(io.StringIO()):
            code = main(words)
        file.flush()
        os._exit(code)


def pictures(folder):
    """Name of each run -> digest of its finished picture's pixels."""
    found = {}
    for manifest in sorted(Path(folder).glob("outputs/*/run.json")):
        assert json.loads(manifest.read_text())["status"] == "finished"
        with Image.open(manifest.parent / "image.png") as image:
            found[manifest.parent.name] = hashlib.sha256(image.tobytes()).hexdigest()
    return found


def losses(folder):
    """Name of each run -> losses of every step."""
    return {
        path.parent.name: [json.loads(line)["losses"] for line in path.read_text().splitlines()]
        for path in sorted(Path(folder).glob("outputs/*/steps.jsonl"))
    }


def leftovers(folder):
    """Files of runs that should not outlive them."""
    usual = {"image.png", "run.json", "steps.jsonl", "trajectory.safetensors", "progress.mp4"}
    usual.add(".lock")  # the kernel released it; a finished run needs it no more
    return [path for path in Path(folder).glob("outputs/*/*") if path.name not in usual]

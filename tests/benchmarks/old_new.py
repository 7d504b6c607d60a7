"""This checkout against an earlier commit of it, in turns: start-up, a picture, steps.

    python -m tests.benchmarks.old_new [--commit 48b6a87] [--repetitions 5] [--only TEXT]
                                       [--clock wall|cpu] [--threads N] [--steps 3] [--json FILE]

The earlier commit is unpacked into a temporary folder; both run in this environment, each with its
own folder first on the path, its own entry points and its own cache. Nothing is installed.

help       guidegen --help
import     import guidegen
start      guidegen "a red apple" --steps 0: all that comes before the first step, and the picture
picture    guidegen "a red apple"
steps      the loop's steps as `tests.benchmarks.versus` counts them, on random weights of the
           published shapes: BigGAN-deep-256 and VQGAN f16 at 256 px, 32 cutouts, ViT-B/32

Each is run once by both before anything counts (files come into memory, choices of precision are
measured and kept), then in turns, old and new. Printed are medians and the ratio old / new of the
medians, above 1 where this checkout is quicker, with the smallest and largest ratio of a turn.

Run it on a machine that does nothing else; some ten minutes on two cores, `--only help`, `import`
or `start` for seconds. On a busy one `--clock cpu` counts seconds of computing instead: of the
processes for the first four, with one thread if `--threads 1` says so. Exit code 1 where something
is more than 5 % slower than it was.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.benchmarks._peers.case import CASES, Contest, make_weights
from tests.benchmarks.versus import Contender

ROOT = Path(__file__).parents[2]
SLACK = 1.05
PROMPT = "a red apple"
COMMANDS = {"help": ["--help"], "start": [PROMPT, "--steps", "0"], "picture": [PROMPT]}
IMPORT = "import"
LOOPS = {f"steps, {case.name}": case for case in CASES if case.size == 256 and case.cutouts == 32}


class Side:
    """One of the two: where its code lies, and its environment.

    Args:
        name: "old" or "new".
        code: the checkout.
        scratch: a folder for its cache and pictures.
        threads: of a CPU; 0 leaves PyTorch's own number.
    """

    def __init__(self, name: str, code: Path, scratch: Path, threads: int) -> None:
        self.name, self.code, self.scratch = name, code, scratch / name
        module, _, function = project(code)["scripts"]["guidegen"].partition(":")
        # as the installed command does
        self.main = f"from {module} import {function}; raise SystemExit({function}())"
        self.scratch.mkdir()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(code),
            "GUIDEGEN_CACHE": str(self.scratch / "cache"),
            "HF_HUB_OFFLINE": "1",
            **({"OMP_NUM_THREADS": str(threads)} if threads else {}),
        }

    def time(self, name: str, clock: str) -> float:
        """Seconds of a process; it begins in an empty folder, so that no picture is there yet."""
        code = "import guidegen" if name == IMPORT else self.main
        words = ["-c", code, *COMMANDS.get(name, [])]
        with tempfile.TemporaryDirectory(dir=self.scratch) as empty, open(os.devnull, "w") as null:
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *words], cwd=empty, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=null, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stderr is not None
            complaint = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{self.name}: {' '.join(words)} failed: {complaint[-2000:]}")
        return wall if clock == "wall" else usage.ru_utime + usage.ru_stime


def project(folder: Path) -> dict[str, Any]:
    """What a checkout's pyproject.toml says of the package."""
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def unpack(commit: str, folder: Path) -> Path:
    """The tree of a commit, with its entry points as an installation would declare them."""
    tree = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(tree)) as archive:
        archive.extractall(folder, filter="data")
    told = project(folder)
    info = folder / f"guidegen-{told['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: guidegen\nVersion: {told['version']}\n"
    )
    lines = []
    for group, entries in told["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


@contextmanager
def loops(sides: list[Side], contest: Contest, clock: str, steps: int) -> Iterator[list[Callable]]:
    """What times some steps of a loop that each side has built."""
    with ExitStack() as stack:
        contenders = []
        for side in sides:
            one = Contender(contest, environment=side.environment, folder=side.code)
            contenders.append(stack.enter_context(one))
            one.clock = clock
            if one.arithmetic:
                told = ", ".join(f"{part} in {name}" for part, name in one.arithmetic.items())
                print(f"  {side.name}: {told}")
        yield [partial(one.run, steps) for one in contenders]


def compare(name: str, timers: list[Callable[[], float]], repetitions: int) -> dict[str, object]:
    """Seconds of both in turns, and their ratio."""
    for timer in timers:
        timer()
    old, new = zip(*([timer() for timer in timers] for _ in range(repetitions)), strict=True)
    each = [before / now for before, now in zip(old, new, strict=True)]
    ratio = statistics.median(old) / statistics.median(new)
    verdict = "" if ratio * SLACK >= 1 else f"   SLOWER by more than {SLACK}"
    print(
        f"{name:52} old {statistics.median(old):8.3f} s   new {statistics.median(new):8.3f} s   "
        f"{ratio:.2f}x ({min(each):.2f} to {max(each):.2f}){verdict}",
        flush=True,
    )
    return {"case": name, "old": old, "new": new, "ratio": ratio, "each": each}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default="48b6a87", help="the earlier one")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of a loop in each repetition")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        old = unpack(args.commit, scratch / "code")
        sides = [
            Side("old", old, scratch, args.threads),
            Side("new", ROOT, scratch, args.threads),
        ]
        for name in ("help", IMPORT, "start", "picture"):
            if args.only in name:
                timers = [partial(side.time, name, args.clock) for side in sides]
                results.append(compare(name, timers, args.repetitions))
        chosen = {name: case for name, case in LOOPS.items() if args.only in name}
        if chosen:
            make_weights(scratch / "weights", {case.generator for case in chosen.values()})
        for name, case in chosen.items():
            contest = Contest(
                "ours", case, scratch / "weights", "default", "cpu", threads=args.threads
            )
            with loops(sides, contest, args.clock, args.steps) as timers:
                results.append(compare(name, timers, args.repetitions))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    return int(any(result["ratio"] * SLACK < 1 for result in results))


if __name__ == "__main__":
    raise SystemExit(main())

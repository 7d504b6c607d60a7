"""What a prompt list costs: together, without batching of candidates, and by separate calls.

    python -m tests.benchmarks.batch_100                    100 prompts, embedded models, defaults
    python -m tests.benchmarks.batch_100 --jobs 10 --separate 3 -- --steps 20 --size 256

Each way runs in processes of its own; the same prompts and seeds, so the same pictures. Separate
calls are timed one by one; with --separate K only K of them are, and the rest is extrapolated.
Memory is the resident set of the process that draws, after job 10, 50 and 100.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from itertools import product
from pathlib import Path

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "pink", "brown", "black", "white"]
THINGS = ["apple", "house", "boat", "cat", "dog", "tree", "car", "bird", "flower", "hat"]
GUIDEGEN = [sys.executable, "-m", "guidegen.cli"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--separate", type=int, default=0, help="0: all")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("flags", nargs="*", help="of guidegen, after --")
    args = parser.parse_args()
    if args.child:
        file, folder, width = args.child
        draw(Path(file), Path(folder), int(width), args.flags)
        return
    prompts = [f"a {colour} {thing}" for colour, thing in product(COLOURS, THINGS)][: args.jobs]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "prompts.txt"
        file.write_text("\n".join(prompts) + "\n")
        together, memory = child(file, folder / "together", 8, args.flags)
        one_by_one, _ = child(file, folder / "one-by-one", 1, args.flags)
        some = prompts[: args.separate or None]
        started = time.perf_counter()
        for prompt in some:
            words = [prompt, "--out", str(folder / "separate"), "--quiet", *args.flags]
            subprocess.run([*GUIDEGEN, *words], check=True, stdout=subprocess.DEVNULL)
        separate = (time.perf_counter() - started) / len(some) * len(prompts)
    n = len(prompts)
    print(f"{n} prompts, flags: {' '.join(args.flags) or 'none'}")
    print(f"one list                   {together:8.1f} s  {n / together * 60:6.2f} pictures/min")
    print(f"  without batching         {one_by_one:8.1f} s  x{one_by_one / together:.2f}")
    print(f"  {n} separate calls        {separate:8.1f} s  x{separate / together:.2f}"
          f"{'' if len(some) == n else f'  (from {len(some)} calls)'}")  # fmt: skip
    print("resident MiB after job " + ", ".join(f"{job}: {mib}" for job, mib in memory.items()))


def child(file: Path, folder: Path, width: int, flags: list[str]) -> tuple[float, dict[str, int]]:
    """Seconds of a whole process, start to end, and its memory after some jobs."""
    words = ["--child", str(file), str(folder), str(width), "--", *flags]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.batch_100", *words], check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return time.perf_counter() - started, json.loads(done.stdout.splitlines()[-1])


def draw(file: Path, folder: Path, width: int, flags: list[str]) -> None:
    from guidegen.batch.prompt_list import PromptList
    from guidegen.batch.run import Local, run_list

    names = [flag.removeprefix("--").replace("-", "_") for flag in flags[::2]]
    settings = dict(zip(names, flags[1::2], strict=True))
    jobs = PromptList(file, {**settings, "out": folder})
    jobs.check()
    executor = Local()
    executor.width = width
    memory = {}
    with closing(run_list(jobs, folder, executor)) as results:
        for number, _ in enumerate(results, start=1):
            if number in (10, 50, 100):
                memory[number] = resident()
    print(json.dumps(memory))


def resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) >> 10
    return 0


if __name__ == "__main__":
    main()

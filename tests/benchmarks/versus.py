"""Us against big-sleep and VQGAN-CLIP at equal work, in one run, alternating.

    python -m tests.benchmarks.versus --big-sleep DIR --vqgan-clip DIR [--extra DIR] [--quick]
                                      [--precisions fp32 bf16]

`--big-sleep` is a folder with the package (pip install --no-deps --target DIR big-sleep),
`--vqgan-clip` a clone of nerdyrodent/VQGAN-CLIP, `--extra` a folder with kornia where it is not
installed. Each contender runs in a process of its own, on the same random weights of the published
shapes (time and memory do not depend on their values), at the same size, number of cutouts and
CLIP; the processes take turns, a repetition each. Printed are steps per second, ratios of medians
(us / peer) with the smallest and largest ratio of a repetition, and the peak memory of the steps.
The peers have no other precision than fp32 on a CPU; on a GPU big-sleep's CLIP is fp16.

We run in our default, "auto", and in each of `--precisions`. The default is to be no slower than
the fastest of these by more than 5 %; each case says whether it was.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from guidegen.precision import has_bf16
from guidegen.utils.threads import cpu_model
from tests.benchmarks._peers.case import CASES, Case, Contest, make_weights

# How much slower than the best named precision the default may be.
SLACK = 1.05
CLOCK = "cpu: seconds of computing, for a machine that is busy with other things; 1 thread"


class Contender:
    """A process that waits for its turn.

    Args:
        contest: what it is told.
        environment: its variables; None takes ours.
        folder: where it runs, and whose code it runs; None is here.
        wait: until it has loaded its models; False leaves that to `get_ready`.
    """

    def __init__(
        self,
        contest: Contest,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        wait: bool = True,
    ) -> None:
        self.name = f"{contest.contender} {contest.precision}"
        environment = {**(environment or os.environ), "HF_HUB_OFFLINE": "1"}
        if contest.threads:
            environment["OMP_NUM_THREADS"] = str(contest.threads)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks._peers.contender", contest.dump()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr if contest.folder.joinpath("noisy").exists() else subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=folder,
        )
        self.loaded = 0.0
        self.arithmetic: dict[str, str] = {}
        self.seconds: list[float] = []
        self.clock = "wall"
        if wait:
            self.get_ready()

    def __enter__(self) -> "Contender":
        return self

    def get_ready(self) -> None:
        """Wait until it has loaded its models."""
        ready = self._answer()
        self.loaded = float(ready["mib"])
        self.arithmetic = ready.get("arithmetic", {})

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has died; run again with --noisy to see why")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, steps: int) -> float:
        """Seconds a step."""
        return statistics.mean(self.ask(f"run {steps} {self.clock}")["seconds"])


def compare(case: Case, args: argparse.Namespace, repetitions: int) -> dict[str, Any]:
    """Figures of one case."""
    given = {
        "case": case,
        "folder": args.weights,
        "device": args.device,
        "threads": args.threads,
        "big_sleep": args.big_sleep,
        "vqgan_clip": args.vqgan_clip,
        "extra": args.extra,
    }
    plan = [("ours", name) for name in ("default", *args.precisions)]
    plan.append((case.peer, "default"))
    if args.device != "cpu":
        plan.append((case.peer, "fp32"))
    with ExitStack() as stack:
        # our default comes first and alone: as it loads it measures which precision is fastest
        contenders = [
            stack.enter_context(
                Contender(Contest(contender=who, precision=precision, **given), wait=number == 0)
            )
            for number, (who, precision) in enumerate(plan)
        ]
        for contender in contenders[1:]:
            contender.get_ready()
        features = [contender.ask("look")["features"] for contender in contenders]
        for other in features[1:]:
            # of unit norm; fp16 and bf16 are this near
            assert sum(a * b for a, b in zip(features[0], other, strict=True)) > 0.999
        for contender in contenders:
            contender.clock = args.clock
            contender.run(1)
        for _ in range(repetitions):
            for contender in contenders:
                contender.seconds.append(contender.run(args.steps))
        rows = {
            contender.name: {
                "steps per second": 1 / statistics.median(contender.seconds),
                "seconds": contender.seconds,
                "peak MiB": contender.ask("peak")["mib"],
                "loaded MiB": contender.loaded,
                "arithmetic": contender.arithmetic,
            }
            for contender in contenders
        }
    theirs = rows[f"{case.peer} default"]
    theirs32 = rows.get(f"{case.peer} fp32", theirs)
    ours = {
        name: ratio(rows[f"ours {name}"], theirs32 if name == "fp32" else theirs)
        for name in ("default", *args.precisions)
    }
    return {
        "case": case.name,
        "contenders": rows,
        "ratios": ours,
        "slower than the best precision": slower(rows, args.precisions),
        "memory": rows["ours default"]["peak MiB"] / theirs["peak MiB"],
    }


def ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """How many times faster we are, with the spread over repetitions."""
    each = [b / a for a, b in zip(ours["seconds"], theirs["seconds"], strict=True)]
    medians = statistics.median(theirs["seconds"]) / statistics.median(ours["seconds"])
    return {"ratio": medians, "lowest": min(each), "highest": max(each)}


def slower(rows: dict[str, Any], precisions: Sequence[str]) -> float:
    """Time of the default over that of the fastest named precision; medians."""
    medians = {name: statistics.median(rows[f"ours {name}"]["seconds"]) for name in precisions}
    return statistics.median(rows["ours default"]["seconds"]) / min(medians.values())


def show(result: dict[str, Any]) -> None:
    """A few lines for people."""
    print(f"\n{result['case']}")
    for name, row in result["contenders"].items():
        print(
            f"  {name:20} {row['steps per second']:8.3f} steps/s   peak {row['peak MiB']:7.0f} MiB"
        )
    for column, r in result["ratios"].items():
        print(f"  {column:8} {r['ratio']:.2f}x  ({r['lowest']:.2f} to {r['highest']:.2f})")
    chosen = result["contenders"]["ours default"]["arithmetic"]
    told = ", ".join(f"{part} in {name}" for part, name in chosen.items())
    part = result["slower than the best precision"]
    verdict = "as it should" if part <= SLACK else f"TOO SLOW, more than {SLACK}"
    print(f"  default is {told}: {part:.2f} of the time of the best precision, {verdict}")
    print(f"  memory   {result['memory']:.2f} of theirs", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--big-sleep", required=True)
    parser.add_argument("--vqgan-clip", required=True)
    parser.add_argument("--extra", default="")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="in each repetition")
    parser.add_argument("--quick", action="store_true", help="3 repetitions, 1 of 128 cutouts")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help=CLOCK)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--weights", type=Path, help="keep the random weights here")
    parser.add_argument("--noisy", action="store_true", help="show what the contenders print")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "fp16"],
        help="besides the default; bf16 is left out on a CPU that has no such instructions",
    )  # fmt: skip
    args = parser.parse_args()
    if args.device == "cpu" and not has_bf16("cpu"):
        args.precisions = [name for name in args.precisions if name != "bf16"] or ["fp32"]
    cases = [case for case in CASES if args.only in case.name]
    with tempfile.TemporaryDirectory() as temporary:
        args.weights = args.weights or Path(temporary)
        make_weights(args.weights, {case.generator for case in cases})
        marker = args.weights / "noisy"
        marker.unlink(missing_ok=True)
        if args.noisy:
            marker.touch()
        where = cpu_model() if args.device == "cpu" else torch.cuda.get_device_name(args.device)
        print(f"random weights of the published shapes; {where}, {args.threads or 'all'} threads")
        results = []
        for case in cases:
            repetitions = args.repetitions
            if args.quick:
                repetitions = 3 if case.cutouts < 128 else 1
            results.append(compare(case, args, repetitions))
            show(results[-1])
            if args.json:
                args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

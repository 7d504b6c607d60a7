"""How far each stage of a step is from the least time that its matrix products could take.

    python -m tests.benchmarks.limit [--device cpu] [--precision fp32] [--only TEXT] [--json FILE]

The floor of a stage is its floating-point operations (torch.utils.flop_counter, on what we compute:
no weight gradients) over the rate of a large matrix product on this device in the same arithmetic.
Cutouts and the rest have no matrix products to speak of. Weights are random, of the published
shapes.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks._peers.case import CASES, Case, Contest, make_weights
from tests.benchmarks._peers.ours import make_evaluator

PART, BATCH = 8, 32


class Clock:
    """Seconds of pieces of work, and their floating-point operations."""

    def __init__(self, device: str, kind: str) -> None:
        self.cuda = device.startswith("cuda")
        self.tick = time.process_time if kind == "cpu" else time.perf_counter
        self.seconds: dict[str, list[float]] = {}
        self.flops: dict[str, float] = {}

    def now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return self.tick()

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        start = self.now()
        result = work()
        taken = self.now() - start
        if stage in self.seconds:
            self.seconds[stage][-1] += taken
        else:
            self.seconds[stage] = [taken]
        return result

    def count(self, stage: str, work: Callable[[], Any]) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = work()
        self.flops[stage] = self.flops.get(stage, 0) + counter.get_total_flops()
        return result

    def next(self) -> None:
        """The next repetition."""
        for taken in self.seconds.values():
            taken.append(0.0)


def gemm_rate(device: str, dtype: torch.dtype, clock: Clock) -> float:
    """Floating-point operations per second of a large matrix product, the best of several."""
    side = 8192 if device.startswith("cuda") else 1536
    a = torch.randn(side, side, device=device).to(dtype)
    best = float("inf")
    for _ in range(10):
        start = clock.now()
        a @ a
        best = min(best, clock.now() - start)
    return 2 * side**3 / best


def one_step(evaluator: Any, latents: dict[str, torch.Tensor], do: Callable[..., Any]) -> None:
    """A step stage by stage, as `LossEvaluator.evaluate` does it; `do(stage, work)` watches."""
    leaves = {k: v.detach().clone() for k, v in latents.items()}
    for value in leaves.values():
        value.requires_grad_(value.is_floating_point())
    ((clip, _),) = evaluator.perceptors
    target = clip.encode_text(["a red apple"])
    images = do("generator forward", lambda: evaluator.generator.decode(leaves))
    seen = images.detach().requires_grad_()
    rngs = [candidate.rng for candidate in evaluator.candidates]
    size = clip.input_size
    parameters = do("cutouts", lambda: evaluator.cutouts.sample(rngs=rngs, size=size, aspect=1.0))
    take = partial(evaluator.cutouts.take, parameters=parameters, size=size)
    for start in range(0, evaluator.cutouts.count, BATCH):
        chunk = slice(start, min(start + BATCH, evaluator.cutouts.count))
        parts = [slice(i, min(i + PART, chunk.stop)) for i in range(start, chunk.stop, PART)]
        with torch.no_grad():
            taken = do(
                "cutouts",
                lambda parts=parts: torch.cat(
                    [
                        evaluator.cutouts.take(seen, parameters, size=size, chunk=part)
                        for part in parts
                    ]
                ),
            )
        taken.requires_grad_()
        features = do("CLIP forward", lambda taken=taken: clip.encode_image(taken))
        loss = 1 - (features @ target[0]).mean()
        do("CLIP backward", lambda loss=loss: loss.backward())

        def pull(parts: list[slice] = parts, grad: Any = taken.grad, first: int = start) -> None:
            for part in parts:
                again = take(seen, chunk=part)
                again.backward(grad[part.start - first : part.stop - first])

        do("cutouts", pull)
    do("generator backward", lambda: torch.autograd.backward(images, seen.grad))


def measure(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    contest = Contest("ours", case, args.weights, args.precision, args.device, args.threads)
    evaluator, settings = make_evaluator(contest)
    latents = evaluator.generator.init(1, rngs=[evaluator.candidates[0].rng])
    clock = Clock(args.device, args.clock)
    one_step(evaluator, latents, clock.count)  # and warm up
    for repetition in range(args.repetitions):
        if repetition:
            clock.next()
        one_step(evaluator, latents, clock.time)
    from guidegen.guidance.optimize import optimize

    steps = optimize(evaluator, latents, settings)
    next(steps)
    whole = []
    for _ in range(args.repetitions):
        start = clock.now()
        next(steps)
        whole.append(clock.now() - start)
    dtypes = {
        "generator": getattr(evaluator.generator, "dtype", torch.float32),
        "CLIP": evaluator.perceptors.parts[0][0].precision,
    }
    rates = {dtype: gemm_rate(args.device, dtype, clock) for dtype in set(dtypes.values())}
    rows: dict[str, Any] = {}
    for stage, taken in clock.seconds.items():
        dtype = dtypes.get(stage.split()[0])
        floor = 0.0 if dtype is None else clock.flops.get(stage, 0) / rates[dtype]
        rows[stage] = {
            "seconds": statistics.median(taken),
            "gflop": clock.flops.get(stage, 0) / 1e9,
            "floor": floor,
            "arithmetic": str(dtype or "").removeprefix("torch."),
        }
    total = statistics.median(whole)
    rest = total - sum(row["seconds"] for row in rows.values())
    rows["the rest"] = {"seconds": rest, "gflop": 0.0, "floor": 0.0, "arithmetic": ""}
    floor = sum(row["floor"] for row in rows.values())
    rows["step"] = {"seconds": total, "gflop": 0.0, "floor": floor, "arithmetic": ""}
    names = {str(k).removeprefix("torch."): v / 1e9 for k, v in rates.items()}
    return {"case": case.name, "device": args.device, "gflops": names, "stages": rows}


def show(result: dict[str, Any]) -> None:
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in result["gflops"].items())
    print(f"\n{result['case']} on {result['device']} ({rates})")
    for stage, row in result["stages"].items():
        part = f"{row['floor'] / row['seconds']:6.0%} of the limit" if row["floor"] else ""
        print(f"  {stage:20} {row['seconds']:8.4f} s   floor {row['floor']:8.4f} s  {part}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="default", choices=["default", "fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--weights", type=Path, help="keep the random weights here")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    cases = [case for case in CASES if case.cutouts == 32 and args.only in case.name]
    with tempfile.TemporaryDirectory() as temporary:
        args.weights = args.weights or Path(temporary)
        make_weights(args.weights, {case.generator for case in cases})
        results = []
        for case in cases:
            results.append(measure(case, args))
            show(results[-1])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

"""How much memory doubling the cutouts adds.

    python -m tests.benchmarks.memory [--device cpu] [--generator biggan/deep-256] [--json FILE]

Each number of cutouts runs in a process of its own, with ViT-B/32; the peak is that of two steps,
with the models in memory and without the peak of loading them. Weights are random, of the published
shapes.
"""

import argparse
import json
import tempfile
from pathlib import Path

from tests.benchmarks._peers.case import CASES, Case, Contest, make_weights
from tests.benchmarks.versus import Contender


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--generator", default="biggan/deep-256", help="one of versus.py")
    parser.add_argument("--cutouts", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="keep the random weights here")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    size = next(case.size for case in CASES if case.generator == args.generator)
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        weights = args.weights or Path(temporary)
        make_weights(weights, {args.generator})
        for count in args.cutouts:
            case = Case(args.generator, size, count)
            contest = Contest("ours", case, weights, "default", args.device, args.threads)
            with Contender(contest) as contender:
                contender.run(2)
                peaks[count] = contender.ask("peak")["mib"]
            before = peaks.get(count // 2)
            added = "" if before is None else f"  {peaks[count] / before - 1:+.1%}"
            print(f"{count:4} cutouts  peak {peaks[count]:7.0f} MiB{added}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(peaks, indent=1))


if __name__ == "__main__":
    main()

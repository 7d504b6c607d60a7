"""Whether the tests notice changes of the code: a random sample of mutants, and who survived.

    python -m tests.mutants prompt [--sample 150] [--seed 0]

mutmut makes the mutants of the packages that `[tool.mutmut]` names, each a small change of one
function, and runs the tests that reach it. A whole run takes hours; here as many as `--sample` says
are drawn from those of one package, each as likely as any other and the same for a seed, and tested
one after another. Printed are the share that was killed and the names of the survivors;
`mutmut show NAME` shows one. The first call makes all mutants and sees which test reaches what.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

MUTMUT = [sys.executable, "-m", "mutmut", "run", "--max-children", "1"]
MADE = Path("mutants")
# Exit codes of a mutant's tests; 33 is a mutant that no test reaches.
SURVIVED, UNREACHED = (0, 5), (33,)


def outcomes(package: str) -> dict[str, int | None]:
    """Name of each mutant of a package -> the exit code of its tests; None before they ran."""
    found = {}
    for file in sorted((MADE / "guidegen" / package).rglob("*.meta")):
        found.update(json.loads(file.read_text())["exit_code_by_key"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", help="prompt, runs, guidance")
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not outcomes(args.package):
        # mutmut makes them all before it looks for this one, which is none
        subprocess.run([*MUTMUT, "nothing"], check=False, capture_output=True)
    names = sorted(outcomes(args.package))
    chosen = random.Random(args.seed).sample(names, min(args.sample, len(names)))
    done = subprocess.run([*MUTMUT, *chosen], check=False, capture_output=True, text=True)
    codes = {name: outcomes(args.package)[name] for name in chosen}
    if None in codes.values():
        print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
        raise SystemExit("mutmut has not run them all; the tests must pass by themselves first")
    counts = Counter(
        "unreached" if code in UNREACHED else "survived" if code in SURVIVED else "killed"
        for code in codes.values()
    )  # fmt: skip
    for name, code in sorted(codes.items()):
        if code in (*SURVIVED, *UNREACHED):
            print("unreached" if code in UNREACHED else "survived ", name)
    print(
        f"{args.package}: {counts['killed']} of {len(chosen)} killed, "
        f"{counts['killed'] / len(chosen):.1%}; {dict(counts)}; {len(names)} mutants in all, "
        f"seed {args.seed}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

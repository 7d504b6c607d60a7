"""Peak memory of a re-rendered video: it must not grow with the number of frames.

Draws a run of a few steps, then renders it in processes of their own, and prints the peak resident
set of each.

python tests/benchmarks/video_memory.py
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

MEGA = 2**20


def render(run: Path, seconds: float, fps: float, size: int) -> None:
    """In a process of its own: render, then say what it took."""
    from guidegen.runs.store import Run
    from guidegen.video.render import render
    from guidegen.video.settings import VideoSettings

    settings = VideoSettings(seconds=seconds, hold=0, fps=fps, size=size)
    started = time.monotonic()
    out = render([Run.load(run)], run / "memory.mp4", settings)
    # kilobytes on Linux, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(
        f"{settings.moving} frames of {size} px at {fps:g} fps: peak {peak / MEGA:.0f} MiB, "
        f"{time.monotonic() - started:.1f} s, file {out.stat().st_size / MEGA:.2f} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run to render instead of a new one")
    parser.add_argument("--generator", default="collage")
    parser.add_argument("--fps", type=float, default=60)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--seconds", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        render(args.run, args.seconds[0], args.fps, args.size)
        return
    with TemporaryDirectory() as folder:
        run = args.run
        if run is None:
            command = ["guidegen", "a red apple", "--generator", args.generator, "--quiet"]
            command += ["--size", str(args.size), "--steps", "40", "--out", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            run = next(Path(folder).glob("*/run.json")).parent
        for seconds in args.seconds:
            words = [sys.executable, __file__, "--child", "--run", str(run)]
            words += ["--seconds", str(seconds), "--fps", str(args.fps), "--size", str(args.size)]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    main()

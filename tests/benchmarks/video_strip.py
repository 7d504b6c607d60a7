"""Frames of a video, evenly spread from the first to the last, next to each other.

python tests/benchmarks/video_strip.py outputs/RUN/video.mp4 docs/video.webp
"""

import argparse
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("strip", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--first", type=float, default=0.0, help="where to begin, 0 to 1")
    parser.add_argument("--last", type=float, default=1.0, help="where to end, 0 to 1")
    parser.add_argument("--height", type=int, default=160)
    args = parser.parse_args()
    # counted by decoding: a file that was cut off does not know
    total = sum(1 for _ in iio.imiter(args.video, plugin="pyav"))
    wanted = np.linspace(args.first, args.last, args.frames) * (total - 1)
    chosen = set(wanted.round().astype(int).tolist())
    frames = []
    for number, frame in enumerate(iio.imiter(args.video, plugin="pyav")):
        if number in chosen:
            image = Image.fromarray(frame)
            width = round(image.width * args.height / image.height)
            frames.append(image.resize((width, args.height), Image.Resampling.LANCZOS))
    gap = 4
    strip = Image.new("RGB", (sum(f.width + gap for f in frames) - gap, args.height), "white")
    x = 0
    for frame in frames:
        strip.paste(frame, (x, 0))
        x += frame.width + gap
    args.strip.parent.mkdir(parents=True, exist_ok=True)
    strip.save(args.strip, quality=85)


if __name__ == "__main__":
    main()

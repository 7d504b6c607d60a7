"""What a video is to be like. Torch-free: all of it is checked before any work starts."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from guidegen.config import MAX_SIDE, UpscaleFactor
from guidegen.errors import ConfigError, OutputError

Format = Literal["mp4", "gif", "webp"]
Ease = Literal["linear", "in-out", "out"]

_FPS = {"mp4": 60.0, "gif": 25.0, "webp": 30.0}
# Delays in a GIF are whole hundredths of a second, and players slow down what has less than two.
_FASTEST = {"mp4": 240.0, "gif": 50.0, "webp": 240.0}
_LONGEST = 3600.0


@dataclass(frozen=True)
class VideoSettings:
    """How runs become a video.

    Attributes:
        seconds: of motion; in a morph, from one picture to the next.
        hold: seconds that a picture stays: the last one, in a morph each.
        fps: frames per second; None is what suits the format.
        size: height in pixels, the width follows; None is that of the run.
        ease: how time runs through the steps. linear: evenly, "in-out": slow at both ends,
            "out": fast at first.
        format: mp4, gif or webp.
        upscale: each frame is enlarged so many times by the embedded network.
    """

    seconds: float = 8.0
    hold: float = 1.5
    fps: float | None = None
    size: int | None = None
    ease: Ease = "in-out"
    format: Format = "mp4"
    upscale: int = 1

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise ConfigError(f"mp4, gif or webp, not {self.format!r}", field="format")
        if self.ease not in get_args(Ease):
            raise ConfigError(f"linear, in-out or out, not {self.ease!r}", field="ease")
        # written so that not-a-number is refused as well
        if not 0 < self.seconds <= _LONGEST:
            why = f"above 0, up to {_LONGEST:g}, not {self.seconds:g}"
            raise ConfigError(why, field="seconds")
        if not 0 <= self.hold <= _LONGEST:
            why = f"from 0 to {_LONGEST:g} seconds, not {self.hold:g}"
            raise ConfigError(why, field="hold")
        fastest = _FASTEST[self.format]
        if not 1 <= self.rate <= fastest:
            why = f"a {self.format} has 1 to {fastest:g}, not {self.rate:g}"
            raise ConfigError(why, field="fps")
        if self.upscale not in get_args(UpscaleFactor):
            raise ConfigError(f"2, 3 or 4, not {self.upscale}", field="upscale")
        if self.size is not None and not 16 <= self.size <= MAX_SIDE:
            raise ConfigError(f"from 16 to {MAX_SIDE} pixels, not {self.size}", field="size")

    @property
    def rate(self) -> float:
        """Frames per second."""
        return _FPS[self.format] if self.fps is None else self.fps

    @property
    def moving(self) -> int:
        """Frames of motion, at least one."""
        return max(1, round(self.seconds * self.rate))

    @property
    def held(self) -> int:
        """Frames that a picture stays."""
        return round(self.hold * self.rate)


def ease(t: float, kind: Ease) -> float:
    """Where one is at time `t`, both from 0 to 1.

    "in-out" is Hermite's 3t² − 2t³, "out" the parabola 1 − (1 − t)².
    """
    if kind == "in-out":
        return t * t * (3 - 2 * t)
    if kind == "out":
        return 1 - (1 - t) ** 2
    return t


def positions(frames: int, last: int, kind: Ease) -> list[float]:
    """Where each frame is on a way from 0 to `last`; the first is 0, the last exactly `last`.

    A single frame shows the end.
    """
    if frames == 1:
        return [float(last)]
    return [last * ease(i / (frames - 1), kind) for i in range(frames)]


def choose_format(given: str | None, out: Path | None) -> Format:
    """The format that is asked for, by name or by the suffix of the file.

    Raises:
        ConfigError: they differ, or there is no such format.
    """
    suffix = out.suffix.lower().removeprefix(".") if out else ""
    if out is not None and suffix not in get_args(Format):
        raise ConfigError(f"name a file ending in .mp4, .gif or .webp, not {out}", field="out")
    if given and suffix and given != suffix:
        raise ConfigError(f"{given} does not fit {out}; leave one of them out", field="format")
    return cast(Format, given or suffix or "mp4")


def check_place(path: Path) -> None:
    """Refuse a place for the video before any work starts.

    Raises:
        OutputError: it can't be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"{path} is a folder; name a file in it")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        why = error.strerror or error
        raise OutputError(
            f"can't write to {path.parent}: {why}; name another", field="out"
        ) from error


def width_for(height: int, size: tuple[int, int]) -> int:
    """The width that keeps the shape of a picture of `size` (height, width) at another height."""
    return max(1, math.floor(height * size[1] / size[0] + 0.5))

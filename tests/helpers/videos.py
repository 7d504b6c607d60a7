"""What tests of videos share: pictures that are easily told apart, and how a file reads back."""

import time
from contextlib import suppress

import av
import imageio.v3 as iio
import numpy as np
import torch

from guidegen.interfaces import Step


def picture(value, height=48, width=64):
    """[3, H, W]: soft ramps, whose green and a dark field from the left tell the value, 0 to 1."""
    image = torch.empty(3, height, width)
    image[0] = torch.linspace(0.2, 0.8, width)[None]
    image[1] = value
    image[2] = torch.linspace(0.7, 0.3, height)[:, None]
    dark = torch.sigmoid((value * width - torch.arange(width)) / 2)
    return image * (1 - 0.5 * dark)


def step(index, total=60, rows=1, size=(48, 64)):
    images = torch.stack([picture((index + row) / (total + rows), *size) for row in range(rows)])
    return Step(index, total, {"z": torch.zeros(rows, 1)}, images, {}, 0.1)


def frames(path):
    return iio.imread(path, plugin="pyav", extension=".mp4")


def playable(path):
    """The frames before the place where a file is cut off, as a player shows them."""
    found = []
    with suppress(av.error.InvalidDataError):
        # one thread, since several would lose the frames in flight
        found.extend(iio.imiter(path, plugin="pyav", extension=".mp4", thread_count=1))
    return found


def wait_for_frames(path, count, seconds=300):
    """The frames of a video in the making, once there are so many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):  # not there yet
            if len(found := playable(path)) >= count:
                return found
        time.sleep(0.02)
    raise AssertionError(f"no {count} frames in {path} within {seconds} s")


def about(path):
    with iio.imopen(path, "r", plugin="pyav") as file:
        return file.metadata()


def psnr(frame, image):
    """Decibels between a decoded frame and a picture [3, H, W] in [0, 1]; the pad is left out."""
    wanted = (image * 255).permute(1, 2, 0).numpy()
    height, width = wanted.shape[:2]
    error = np.square(frame[:height, :width].astype(float) - wanted).mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))


def which(frame, total=60, rows=1):
    """The index of the step that a frame shows: the nearest of all."""
    size = frame.shape[:2]
    return max(range(total + 1), key=lambda i: psnr(frame, step(i, total, rows, size).images[0]))

"""The collage's patches: an atlas of RGBA drawings, decoded one by one when they are used."""

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from generators.collage.backdrops import BACKDROPS
from guidegen.errors import WeightsError
from guidegen.interfaces import Entry, Images

THUMBNAIL = 128
_KEYWORDS = 8  # of each patch that are read; the first say most

# Where things are in a picture that holds others too, told by the last word of a patch's name.
_SKY = frozenset(
    {"sun", "moon", "star", "stars", "cloud", "clouds", "rainbow", "comet", "lightning", "planet"}
    | {"satellite", "meteor", "sunrise", "ufo", "airplane", "helicopter", "balloon", "kite", "bat"}
)
_GROUND = frozenset(
    {"hill", "hills", "mountain", "mountains", "island", "grass", "field", "road", "wave", "waves"}
    | {"sea", "lake", "river", "beach", "desert", "meadow", "snow", "forest", "peaks"}
)


def _group(record: dict[str, Any]) -> str:
    """Scene | sky | ground | object."""
    if record.get("scene"):
        return "scene"
    words = record["caption"].lower().split()
    head = words[-1] if words else ""
    return "sky" if head in _SKY else "ground" if head in _GROUND else "object"


class Atlas:
    """A zip of `patches.jsonl` and the pictures it names; also the collage's vocabulary.

    Raises:
        WeightsError: the file is missing or broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None
        try:
            lines = self._zip.read("patches.jsonl").decode("utf-8").splitlines()
            self.records: list[dict[str, Any]] = [json.loads(line) for line in lines]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise WeightsError(
                f"can't read the collage's patches at {path}: {error}; reinstall guidegen"
            ) from None
        self.texture = lru_cache(maxsize=96)(self._texture)

    def __reduce__(self) -> tuple[type["Atlas"], tuple[Path]]:
        return Atlas, (self.path,)

    @property
    def _zip(self) -> zipfile.ZipFile:
        """The archive, opened by this process: a fork shares its parent's place in the file."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), zipfile.ZipFile(self.path))
        return self._open[1]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """One entry a patch, then one a backdrop."""
        patches = [
            Entry(
                record["caption"],
                group=_group(record),
                keywords=", ".join(record["keywords"][:_KEYWORDS]),
            )
            for record in self.records
        ]
        backdrops = [Entry(backdrop.name, group="backdrop") for backdrop in BACKDROPS]
        return (*patches, *backdrops)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def thumbnails(self, indices: Sequence[int]) -> Images:
        """The patches on light grey, or the backdrops, [n, 3, 128, 128]."""
        out = []
        for index in indices:
            if index >= len(self.records):
                out.append(BACKDROPS[index - len(self.records)].picture(THUMBNAIL))
                continue
            texture = self.texture(index)
            small = F.interpolate(texture[None], (THUMBNAIL, THUMBNAIL), mode="area")[0]
            out.append(small[:3] + 0.92 * (1 - small[3:]))
        return torch.stack(out).clamp(0, 1)

    def _texture(self, index: int) -> Tensor:
        """Premultiplied RGBA [4, s, s] in [0, 1], the drawing centred in a square."""
        try:
            image = Image.open(io.BytesIO(self._zip.read(self.records[index]["file"])))
            pixels = np.asarray(image.convert("RGBA"))
        except (OSError, KeyError, ValueError, zlib.error, zipfile.BadZipFile) as error:
            raise WeightsError(
                f"patch {index} of {self.path} is broken: {error}; reinstall guidegen"
            ) from None
        rgba = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
        _, height, width = rgba.shape
        side = max(height, width) + 2  # a clear border, so that edges blend when sampled
        left, top = (side - width) // 2, (side - height) // 2
        rgba = F.pad(rgba, (left, side - width - left, top, side - height - top))
        return torch.cat([rgba[:3] * rgba[3:], rgba[3:]])

    @cache  # noqa: B019  one atlas lives as long as the process
    def shape(self, index: int) -> tuple[float, float]:
        """Half extents (x, y) of the drawing in its square, 0 to 1."""
        alpha = self.texture(index)[3] > 0.1
        side = alpha.shape[0]
        rows, columns = alpha.any(1).sum().item(), alpha.any(0).sum().item()
        return columns / side, rows / side

    @cache  # noqa: B019
    def lightness(self, index: int) -> float:
        """Mean lightness of the opaque part, 0 to 1."""
        texture = self.texture(index)
        mean = texture[:3].mean(0).sum() / texture[3].sum().clamp(min=1e-6)
        return round(float(mean), 4)  # the last bits of a sum depend on the number of threads

    @cache  # noqa: B019
    def wears(self, index: int, colour: str) -> bool:
        """Whether a good part of the drawing is of a basic colour."""
        texture = self.texture(index)
        opaque = texture[3] > 0.5
        rgb = (texture[:3] / texture[3:].clamp(min=1e-3))[:, opaque]
        return bool((_basic_colour(rgb) == _BASIC.index(colour)).float().mean() > 0.2)


_BASIC = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "gray", "white",
)  # fmt: skip


def _basic_colour(rgb: Tensor) -> Tensor:
    """Number of the basic colour term of each pixel, [3, n] -> [n]: hue bands of HSV."""
    value, _ = rgb.max(0)
    chroma = value - rgb.min(0).values
    red, green, blue = rgb.unbind(0)
    safe = chroma.clamp(min=1e-6)
    hue = torch.where(
        value == red, (green - blue) / safe % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    ) * 60  # fmt: skip
    saturation = chroma / value.clamp(min=1e-6)
    # upper ends of red, orange, yellow, green, blue, purple, pink, and red again
    bands = torch.bucketize(hue, torch.tensor([16.0, 40.0, 68.0, 165.0, 255.0, 292.0, 346.0])) % 7
    warm = (bands <= 1) & (value < 0.62)
    rosy = (bands == 0) & (saturation < 0.5) & (value > 0.75)
    named = torch.where(warm & (bands == 1), 7, torch.where(rosy, 6, bands))
    greys = torch.where(value < 0.25, 8, torch.where(value > 0.85, 10, 9))
    return torch.where((saturation < 0.15) | (value < 0.15), greys, named)

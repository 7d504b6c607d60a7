"""Drawings inside unpacked packages: an iconify collection, a folder of WebP files, SVG files."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, UnidentifiedImageError

from guidegen.errors import DataError
from guidegen.training.data.rasterise import render_svg, trim


class Drawings(Protocol):
    """A set of named drawings."""

    def __iter__(self) -> Iterator[str]:
        """The ids, in a fixed order."""

    def picture(self, name: str, longest: int) -> Image.Image:
        """One drawing as RGBA, trimmed, `longest` pixels on its longest side."""


@dataclass(frozen=True)
class IconifyDrawings:
    """The `icons.json` of an `@iconify-json/*` package; aliases and hidden icons are left out."""

    icons: dict[str, dict[str, Any]]
    width: float
    height: float

    @classmethod
    def open(cls, path: Path) -> IconifyDrawings:
        """Read an `icons.json`.

        Raises:
            DataError: the file is absent or is no iconify collection.
        """
        try:
            data = json.loads(path.read_text("utf-8"))
            icons = {k: v for k, v in data["icons"].items() if not v.get("hidden")}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: not an iconify collection ({error})") from error
        return cls(icons, data.get("width", 16), data.get("height", 16))

    def __iter__(self) -> Iterator[str]:
        return iter(self.icons)

    def svg(self, name: str) -> str:
        """The icon as a whole SVG document."""
        icon = self.icons[name]
        width, height = icon.get("width", self.width), icon.get("height", self.height)
        view = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{width}" height="{height}" viewBox="{view}">{icon["body"]}</svg>'
        )

    def picture(self, name: str, longest: int) -> Image.Image:
        """Render one icon."""
        return trim(render_svg(self.svg(name), longest), longest)


@dataclass(frozen=True)
class FileDrawings:
    """Picture files under a folder; an id is the path below it.

    Args:
        folder: where they lie.
        suffix: `.svg`, or what Pillow reads.
        bare: leave the suffix out of the ids.
    """

    folder: Path
    suffix: str
    bare: bool = False

    def __iter__(self) -> Iterator[str]:
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: no such folder; the package is laid out differently")
        names = (
            p.relative_to(self.folder).as_posix() for p in self.folder.rglob(f"*{self.suffix}")
        )
        return iter(sorted(n.removesuffix(self.suffix) if self.bare else n for n in names))

    def path(self, name: str) -> Path:
        """File of a drawing."""
        return self.folder / (name + self.suffix if self.bare else name)

    def text(self, name: str) -> str:
        """The file as text; SVG files of unknown encoding fall back to Latin-1."""
        data = self.path(name).read_bytes()
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def picture(self, name: str, longest: int) -> Image.Image:
        """Render or read one file."""
        if self.suffix == ".svg":
            return trim(render_svg(_without_entities(self.text(name)), longest), longest)
        try:
            with Image.open(self.path(name)) as picture:
                return trim(picture.convert("RGBA"), longest)
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{self.path(name)}: can't be read ({error})") from error


def _without_entities(svg: str) -> str:
    """Expand Adobe Illustrator's `&ns_svg;` entities, whose DTD parsers rightly refuse to load."""
    if "<!ENTITY" not in svg:
        return svg
    head, bracket, rest = svg.partition("]>")
    if not bracket:
        return svg
    values: dict[str, str] = {}
    for part in head.split("<!ENTITY")[1:]:
        words = part.strip().split(None, 1)
        if len(words) == 2 and words[1][:1] in "\"'":
            values[words[0]] = html.unescape(words[1][1:].split(words[1][0], 1)[0])
    for name, value in values.items():
        rest = rest.replace(f"&{name};", value)
    return "<svg" + rest.partition("<svg")[2]

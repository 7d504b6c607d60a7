"""Drawings to RGBA pictures: render, trim, scale, and say what colours they have.

Needs Pillow and NumPy; `render_svg` also needs resvg-py (the extra `training`).
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guidegen.errors import DataError

ALPHA_FLOOR = 8  # below this, of 255, a pixel counts as empty: soft shadows must not widen the box

# Basic colour names and the sRGB values that stand for them; a name may have several shades.
_PALETTE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 20),),
    "gray": ((90, 90, 90), (128, 128, 128), (176, 176, 180)),
    "white": ((250, 250, 250), (228, 228, 230)),
    "red": ((215, 35, 40), (242, 66, 54), (150, 25, 30)),
    "orange": ((245, 140, 30), (230, 110, 40)),
    "yellow": ((252, 205, 50), (250, 230, 100)),
    "green": ((60, 160, 60), (30, 95, 45), (140, 195, 75), (175, 205, 60)),
    "cyan": ((60, 190, 205), (130, 215, 235)),
    "blue": ((45, 110, 205), (30, 50, 120), (100, 160, 235)),
    "purple": ((130, 70, 180), (85, 45, 120), (175, 130, 215)),
    "pink": ((240, 120, 170), (235, 60, 140), (245, 180, 200)),
    "brown": ((120, 75, 45), (80, 50, 35), (150, 105, 75)),
    "beige": ((235, 205, 165), (245, 228, 200)),
}


def render_svg(svg: str, longest: int) -> Image.Image:
    """Render an SVG text so that its drawn part is about `longest` pixels on its longest side.

    Raises:
        DataError: the SVG can't be read or draws nothing, or resvg-py is absent.
    """
    drawn = _raster(svg, longest)
    box = content_box(drawn)
    if box is None:
        raise DataError("the SVG draws nothing")
    extent = max(box[2] - box[0], box[3] - box[1])
    if extent < longest * 0.9:  # much empty canvas: render again, larger, so that the trim is crisp
        drawn = _raster(svg, min(1536, round(longest * longest / extent)))
    return drawn


def _raster(svg: str, longest: int) -> Image.Image:
    try:
        import resvg_py
    except ImportError as error:
        raise DataError("rendering SVG needs resvg-py: pip install 'guidegen[training]'") from error
    options: dict[str, Any] = {
        # without a dpi, every drawing measured in pt, mm or in is refused as "invalid size"
        "dpi": 90,
        # reading the machine's fonts takes longer than most drawings
        "skip_system_fonts": "<text" not in svg and "<flowRoot" not in svg,
    }
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=longest, **options)
        picture = Image.open(io.BytesIO(bytes(png)))
        if (
            picture.height > longest
        ):  # `width` alone keeps the proportions; a tall drawing is too big
            png = resvg_py.svg_to_bytes(svg_string=svg, height=longest, **options)
            picture = Image.open(io.BytesIO(bytes(png)))
        return picture.convert("RGBA")
    except (ValueError, OSError) as error:
        raise DataError(f"the SVG can't be rendered: {error}") from error


def content_box(picture: Image.Image) -> tuple[int, int, int, int] | None:
    """Box (left, top, right, bottom) of the pixels that are not transparent; None for none."""
    return picture.getchannel("A").point(lambda a: 255 if a >= ALPHA_FLOOR else 0).getbbox()


def trim(picture: Image.Image, longest: int) -> Image.Image:
    """Cut to the content and scale so that the longest side is `longest` pixels.

    Raises:
        DataError: the picture is wholly transparent.
    """
    box = content_box(picture)
    if box is None:
        raise DataError("the picture is empty")
    picture = picture.crop(box)
    scale = longest / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if size == picture.size:
        return picture
    # premultiplied ("RGBa"), so that the colour hidden under alpha 0 does not bleed into the edge
    return picture.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def centred(picture: Image.Image, canvas: int) -> Image.Image:
    """`picture` in the middle of a transparent square of `canvas` pixels."""
    out = Image.new("RGBA", (canvas, canvas))
    out.paste(picture, ((canvas - picture.width) // 2, (canvas - picture.height) // 2))
    return out


def coverage(picture: Image.Image) -> float:
    """Mean alpha, 0 to 1."""
    return float(np.asarray(picture.getchannel("A"), np.float32).mean() / 255)


def is_framed(picture: Image.Image, fill: float = 0.93) -> bool:
    """Whether a trimmed picture fills its box with straight edges, as a tile or app icon does.

    Such a picture brings its own background: pasted into a collage, its frame is what one sees.

    Args:
        picture: RGBA, already trimmed.
        fill: share of opaque pixels from which a picture counts; rounded tiles reach 0.95.
    """
    opaque = np.asarray(picture.getchannel("A")) >= 200
    if opaque.mean() <= fill:
        return False
    # one pixel inside the border: the outermost one is often half transparent
    inner = opaque[2:-2, 2:-2] if min(opaque.shape) > 8 else opaque
    edges = (inner[0], inner[-1], inner[:, 0], inner[:, -1])
    return all(edge.mean() > 0.6 for edge in edges)


def colour_shares(picture: Image.Image, floor: float = 0.06) -> list[tuple[str, float]]:
    """Basic colour names of the opaque pixels and their shares, largest first, at most five."""
    small = picture.resize((48, 48), Image.Resampling.BOX)
    pixels = np.asarray(small, np.float32).reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 128][:, :3]
    if not len(pixels):
        return []
    names = [name for name, shades in _PALETTE.items() for _ in shades]
    shades = np.asarray([shade for group in _PALETTE.values() for shade in group], np.float32)
    nearest = ((pixels[:, None] - shades[None]) ** 2).sum(-1).argmin(1)
    counts: dict[str, int] = {}
    for index in nearest:
        counts[names[index]] = counts.get(names[index], 0) + 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shares = [(name, round(count / len(pixels), 3)) for name, count in ranked]
    return [item for item in shares if item[1] >= floor][:5]


def is_grey(picture: Image.Image) -> bool:
    """Whether hardly any opaque pixel has a colour: line art, but also pandas and elephants."""
    pixels = np.asarray(picture.resize((48, 48), Image.Resampling.BOX), np.int16).reshape(-1, 4)
    pixels = pixels[pixels[:, 3] > 128][:, :3]
    return len(pixels) == 0 or bool(((pixels.max(1) - pixels.min(1)) > 40).mean() < 0.1)


def look(picture: Image.Image) -> bytes:
    """A key that is equal for pictures that look the same at 24 pixels, on grey."""
    small = centred(picture, max(picture.size)).convert("RGBa").resize((24, 24))
    pixels: NDArray[np.int16] = np.asarray(small, np.int16)
    flat = pixels[..., :3] + (255 - pixels[..., 3:]) // 2
    return bytes((flat // 24).astype(np.uint8).tobytes())

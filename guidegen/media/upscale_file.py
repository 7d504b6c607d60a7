"""Picture files, enlarged: what a file tells of itself goes over into the new one."""

import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from guidegen.errors import InputImageError, OutputError
from guidegen.media.decode import decode
from guidegen.media.files import opened
from guidegen.media.upscale import NAME, check_upscale, load_upscaler
from guidegen.utils.files import make_folder, write_atomic

# A PNG text of ours in each picture that was enlarged: by what, and how much.
KEY = "guidegen upscale"
XMP_KEY = "XML:com.adobe.xmp"
_WHAT = "picture"
_LONGEST_TEXT = 2**20


def upscale_path(path: Path, factor: int, out: Path | None = None) -> Path:
    """Where the enlarged picture goes.

    Args:
        path: of the picture.
        factor: how many times as large.
        out: a folder, a .png file, or None: NAME-2x.png next to the picture.

    Raises:
        OutputError: it is no PNG, or a file is there that is no enlarged picture.
    """
    name = f"{path.stem}-{factor}x.png"
    if out is None:
        place = path.with_name(name)
    elif out.is_dir() or not out.suffix:
        place = out / name
    elif out.suffix.lower() != ".png":
        raise OutputError(
            f"enlarged pictures are PNG files; name {out.with_suffix('.png')}", field="out"
        )
    else:
        place = out
    if place.exists() and not _is_enlarged(place):
        raise OutputError(
            f"{place} is there already and is no enlarged picture; name another place", field="out"
        )
    return place


def check_upscale_file(path: Path, factor: int) -> None:
    """Refuse what can't be enlarged, by the head of the file.

    Raises:
        InputImageError: it can't be read, or moves.
        ConfigError: the result would not fit into memory.
    """
    with opened(path, _WHAT) as image:
        frames = getattr(image, "n_frames", 1)
        width, height = image.size
    if frames > 1 and image.format != "MPO":
        raise InputImageError(
            f"{path} has {frames} frames; only still pictures can be enlarged, and videos of runs "
            "as they are made"
        )
    check_upscale(height, width, factor)


def upscale_file(
    path: Path, factor: int = 2, *, out: Path | None = None, device: str = "cpu"
) -> Path:
    """Enlarge a picture file.

    Args:
        path: any still picture that guidegen reads.
        factor: 2, 3 or 4.
        out: a folder, a .png file, or None: NAME-2x.png next to the picture.
        device: where the network computes.

    Returns:
        The new file. It has the texts of the old one (prompt, settings, AI marking), its colour
        profile and its EXIF, and says that it was enlarged.

    Raises:
        InputImageError: the picture can't be read, or moves.
        ConfigError: the factor is not 2, 3 or 4, or the result would not fit into memory.
        OutputError: the file can't be written.
    """
    place = upscale_path(path, factor, out)
    check_upscale_file(path, factor)
    image, about = _read(path)
    make_folder(place.parent)
    large = load_upscaler(device).picture(image, factor)
    return write_atomic(place, _png(large, about, factor))


def _read(path: Path) -> tuple[Image.Image, dict[str, Any]]:
    """A picture, upright, with its transparency, and what the file tells of it."""
    with opened(path, _WHAT) as image:
        image.load()
        texts = getattr(image, "text", {})  # of a PNG, those after the pixels among them
        transparent = image.has_transparency_data
        with suppress(Exception):  # broken EXIF raises anything
            image = ImageOps.exif_transpose(image)
        about = {**image.info, **texts}
        if transparent:
            return image.convert("RGBA"), about
    return decode(path, _WHAT), about


def _png(large: Image.Image, told: Mapping[str, Any], factor: int) -> bytes:
    """A PNG that tells what its source told."""
    about = PngInfo()
    for key, value in texts(told, factor).items():
        about.add_itxt(key, value)
    options = {name: told[name] for name in ("icc_profile", "exif") if told.get(name)}
    buffer = io.BytesIO()
    large.save(buffer, "PNG", pnginfo=about, **options)
    return buffer.getvalue()


def texts(told: Mapping[str, Any], factor: int) -> dict[str, str]:
    """The PNG texts of an enlarged picture.

    Args:
        told: what Pillow knows of its source.
        factor: how many times as large it is.
    """
    found = {}
    packet = told.get("xmp")  # where a JPEG or WebP has it
    if isinstance(packet, bytes):
        told = {**told, XMP_KEY: packet.decode("utf-8", "replace")}
    for key, value in told.items():
        if isinstance(value, str) and 0 < len(key) < 80 and key.isprintable() and key.isascii():
            found[key] = value[:_LONGEST_TEXT].replace("\0", "")
    if "parameters" in found:  # as AUTOMATIC1111's web UI notes it
        found["parameters"] += f", Postprocess upscale by: {factor}, Postprocess upscaler: {NAME}"
    return {**found, KEY: f"{factor}x by {NAME}"}


def _is_enlarged(path: Path) -> bool:
    try:
        with opened(path, _WHAT) as image:
            return KEY in image.info
    except InputImageError:
        return False

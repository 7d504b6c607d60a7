"""Small pictures for the wall, kept in the studio's own folder."""

import hashlib
import io
from pathlib import Path

from PIL import Image

from guidegen.media.decode import decode
from guidegen.utils.files import write_atomic

_SIDE = 320
_QUALITY = 82


def thumbnail(image: Path, folder: Path) -> bytes:
    """A WebP of at most 320 pixels a side, made anew when the picture changes.

    Raises:
        InputImageError: the picture can't be read.
    """
    stat = image.stat() if image.is_file() else None
    key = f"{image} {stat and (stat.st_mtime_ns, stat.st_size)}"
    path = folder / f"{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:32]}.webp"
    if path.is_file():
        return path.read_bytes()
    small = decode(image, "picture")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue(), durable=False)
    return buffer.getvalue()

"""Settings in JPEG and WebP files, where PNG's text chunks have no place.

EXIF's UserComment holds the lines of AUTOMATIC1111's web UI as UTF-16, which is where that program
and its readers look; MakerNote, the field for what only the maker reads, holds our own JSON.
"""

import io
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_EXIF_IFD, _USER_COMMENT, _MAKER_NOTE = 0x8769, 0x9286, 0x927C
_MARK = b"guidegen\0"
_UNICODE = b"UNICODE\0"
# A segment of JPEG: 65,535 bytes with its own length and "Exif\0\0" before the tags.
_MOST = 65_535 - 2 - 6


def encode(image: "Image.Image", suffix: str, *, lines: str, record: str, xmp: str) -> bytes:
    """A picture as JPEG or WebP, with its settings as far as there is room for them.

    Args:
        image: RGB.
        suffix: one of `FORMATS`.
        lines: for other programs; "" writes no metadata at all.
        record: JSON, for `read`.
        xmp: an XMP packet.
    """
    kind = FORMATS[suffix]
    options: dict[str, Any] = {"quality": 95}
    if kind == "JPEG":
        options["subsampling"] = 0  # full colour: drawings have thin coloured lines
    if lines:
        exif, fits = _exif(lines, record)
        if not fits:
            log.warning("the prompts are too long for the metadata of a %s; a PNG holds them", kind)
        options["exif"] = exif
        if len(xmp.encode()) < _MOST - 32:
            options["xmp"] = xmp.encode()
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(image: "Image.Image") -> str | None:
    """The JSON that `encode` wrote; None where there is none."""
    with suppress(Exception):  # broken EXIF raises anything
        note = image.getexif().get_ifd(_EXIF_IFD).get(_MAKER_NOTE, b"")
        if isinstance(note, bytes) and note.startswith(_MARK):
            return note.removeprefix(_MARK).decode()
    return None


def _exif(lines: str, record: str) -> tuple[bytes, bool]:
    """EXIF with what fits into it, and whether that is all."""
    from PIL import Image

    comment = _UNICODE + lines.encode("utf-16-be", "backslashreplace")
    wanted = {_USER_COMMENT: comment, _MAKER_NOTE: _MARK + record.encode()}
    for tags in (wanted, {_USER_COMMENT: comment}, {}):
        exif = Image.Exif()
        exif.get_ifd(_EXIF_IFD).update(tags)
        data: bytes = exif.tobytes()
        if len(data) <= _MOST:
            break
    return data, tags is wanted

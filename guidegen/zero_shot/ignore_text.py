"""Pictures without the words that are written on them.

A CLIP that has learned to read may take an apple with "iPod" written on it for an iPod (Goh et al.
2021, "Multimodal neurons in artificial neural networks", doi:10.23915/distill.00030). So words are
found and painted over from what is around them before the model sees the picture, which serves any
CLIP. What finds and reads them is PP-OCR, which the package rapidocr carries (Apache-2.0); only
what can be read is painted over, since an ornament looks like a line of words as well.
"""

import logging
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image

from guidegen.errors import ConfigError
from guidegen.zero_shot.pictures import Prepare

# Longest side at which words are looked for; every CLIP sees less of a picture.
_LARGEST = 1024
# Shortest side that the detector is shown: small pictures are enlarged to it.
_SHORTEST = 320
# How far the paint goes beyond a word, in parts of its height.
_MARGIN = 0.15
# How sure the reader must be, and how many characters it must read.
_SURE, _LETTERS = 0.8, 2
_NEEDS = ("rapidocr", "onnxruntime")


def wordless(wanted: bool) -> Prepare | None:
    """What takes the words off a picture; see `guidegen.zero_shot.pictures.encode`.

    Args:
        wanted: None is returned without.

    Raises:
        ConfigError: a package that it needs is not installed.
    """
    if not wanted:
        return None
    if any(find_spec(name) is None for name in _NEEDS):
        raise ConfigError(
            "to ignore text it must be found: pip install 'guidegen[ocr]'", field="ignore_text"
        )
    return without_words


def without_words(image: Image.Image) -> Image.Image:
    """The picture with its words painted over; the same picture where there are none.

    Args:
        image: RGB. A larger one than 1,024 pixels is made smaller.
    """
    image = image.convert("RGB")
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    mask = word_mask(pixels)
    if not mask.any():
        return image
    import cv2

    return Image.fromarray(cv2.inpaint(pixels, mask, 3, cv2.INPAINT_TELEA))


def word_mask(pixels: np.ndarray) -> np.ndarray:
    """Where words are.

    Args:
        pixels: [h, w, 3] bytes.

    Returns:
        [h, w] bytes, 255 on words and 0 elsewhere.
    """
    import cv2

    mask = np.zeros(pixels.shape[:2], np.uint8)
    with _LOCK:
        found = _reader()(pixels[..., ::-1])  # it takes blue first
    if found.boxes is None:
        return mask
    for box, text, sure in zip(found.boxes, found.txts, found.scores, strict=True):
        if sure < _SURE or sum(map(str.isalnum, text)) < _LETTERS:
            continue
        corners = box.round().astype(np.int32)
        height = min(np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[3] - box[0]))
        cv2.fillPoly(mask, [corners], 255)
        cv2.polylines(mask, [corners], True, 255, 1 + 2 * round(_MARGIN * height))
    return mask


# The reader keeps what it works on in itself, and pictures come from several threads.
_LOCK = Lock()


@cache
def _reader() -> Any:
    import rapidocr

    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    models = Path(rapidocr.__file__).parent / "models"
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.limit_side_len": _SHORTEST,
            # its own files, since it would fetch those that are not there
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            "EngineConfig.onnxruntime.intra_op_num_threads": torch.get_num_threads(),
        }
    )

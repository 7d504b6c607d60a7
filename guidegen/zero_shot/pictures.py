"""Picture files and their features. What can't be read is one error, and stops only itself."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as TF

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.errors import InputImageError
from guidegen.media.decode import decode

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".mpo", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".ppm"}
    | {".jp2", ".tga"}
)
# Pictures that go through CLIP at once.
BATCH = 32
# Files and folders, one or several.
Pictures = Path | str | Sequence[Path | str]
# What is done to a picture before the model sees it.
Prepare = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Encoded:
    """What CLIP makes of one picture.

    Attributes:
        path: of the file.
        feature: [d] float32 on the CPU, unit norm; None if the picture can't be read.
        error: why, in one line; "" if it could be read.
    """

    path: Path
    feature: Tensor | None
    error: str = ""


def find_pictures(given: Pictures) -> list[Path]:
    """The picture files that the user named: files as they are, folders with all that is in them.

    Files and folders whose names begin with a dot are left out of folders.

    Raises:
        InputImageError: one is not there, or there are no pictures at all.
    """
    places = [given] if isinstance(given, str | Path) else given
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            found += walk(place)
        elif place.exists():
            found.append(place)
        else:
            raise InputImageError(f"there is no picture or folder at {place}")
    if not found:
        names = ", ".join(map(str, places)) or "nothing"
        raise InputImageError(f"there are no pictures in {names}")
    return list(dict.fromkeys(found))


def walk(folder: Path) -> list[Path]:
    """The picture files anywhere in a folder, in the order of their names."""
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(where, name)
            for name in sorted(files)
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    return found


def preprocess(image: Image.Image, perceptor: CLIPPerceptor) -> Tensor:
    """A picture as the model was trained to see it.

    The same pixels as open_clip's own transform, before the normalisation.

    Returns:
        [3, s, s] floats in [0, 1], with s the model's input size.
    """
    side = perceptor.input_size
    mode = (
        TF.InterpolationMode.BILINEAR
        if perceptor.interpolation == "bilinear"
        else TF.InterpolationMode.BICUBIC
    )
    if perceptor.resize_mode == "squash":
        image = TF.resize(image, [side, side], mode)
    elif perceptor.resize_mode == "longest":
        scale = side / max(image.size)
        size = [max(1, round(scale * image.height)), max(1, round(scale * image.width))]
        image = TF.center_crop(TF.resize(image, size, mode), [side, side])
    else:
        image = TF.center_crop(TF.resize(image, [side], mode), [side, side])
    out: Tensor = TF.to_tensor(image)
    return out


def encode(
    paths: Iterable[Path], perceptor: CLIPPerceptor, *, prepare: Prepare | None = None
) -> Iterator[Encoded]:
    """The features of picture files, in their order, a batch at a time.

    Files are read by threads while the batch before is in the model.

    Args:
        paths: of the files; taken as they are needed.
        perceptor: the model.
        prepare: changes a picture before the model sees it.
    """
    waiting = iter(paths)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:

        def ask() -> list[tuple[Path, Future[Tensor | str]]]:
            return [
                (path, pool.submit(_read, path, perceptor, prepare))
                for path in islice(waiting, BATCH)
            ]

        coming = ask()
        while coming:
            batch = [(path, job.result()) for path, job in coming]
            coming = ask()
            yield from _encode_batch(batch, perceptor)


def _read(path: Path, perceptor: CLIPPerceptor, prepare: Prepare | None) -> Tensor | str:
    """A file as the model sees it, or why it can't."""
    try:
        image = decode(path, "picture")
    except InputImageError as error:
        return str(error)
    return preprocess(image if prepare is None else prepare(image), perceptor)


def _encode_batch(
    batch: Sequence[tuple[Path, Tensor | str]], perceptor: CLIPPerceptor
) -> Iterator[Encoded]:
    images = [part for _, part in batch if isinstance(part, Tensor)]
    features = iter(encode_images(images, perceptor))
    for path, part in batch:
        if isinstance(part, Tensor):
            yield Encoded(path, next(features))
        else:
            yield Encoded(path, None, part)


@torch.no_grad()
def encode_images(images: Sequence[Tensor], perceptor: CLIPPerceptor) -> Tensor:
    """Features of pictures [3, s, s], on the CPU: [n, d] float32, unit norm."""
    if not images:
        return torch.empty(0, 0)
    return perceptor.encode_image(torch.stack(list(images)).to(perceptor.device)).cpu()

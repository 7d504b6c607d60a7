"""Features of pictures and texts, in one space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from guidegen.clip.open_clip_perceptor import CLIPPerceptor
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, encode, find_pictures


@dataclass(frozen=True)
class Embeddings:
    """Features and what they are of.

    Attributes:
        image: [n, d] float32, unit norm.
        paths: n files.
        text: [m, d] float32, unit norm.
        texts: m of them.
        errors: of pictures that can't be read, one line each.
    """

    image: np.ndarray
    paths: tuple[Path, ...]
    text: np.ndarray
    texts: tuple[str, ...]
    errors: tuple[str, ...] = ()


def embed(
    pictures: Pictures = (),
    texts: Sequence[str] = (),
    *,
    perceptor: str = "embedded",
    device: str = "auto",
) -> Embeddings:
    """Features of pictures and texts, in one space.

    Args:
        pictures: files and folders.
        texts: any.
        perceptor: the CLIP, as `--perceptor` takes it.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        GuidegenError: a model or device that can't be used; pictures that are not there.
    """
    paths = find_pictures(pictures) if pictures else []
    return features_of(paths, texts, open_clip_model(perceptor, device))


def features_of(paths: Sequence[Path], texts: Sequence[str], model: CLIPPerceptor) -> Embeddings:
    """As `embed`, with a loaded model."""
    rows, read, errors = [], [], []
    for each in encode(paths, model):
        if each.feature is None:
            errors.append(each.error)
        else:
            rows.append(each.feature)
            read.append(each.path)
    with torch.no_grad():
        words = model.encode_text(list(texts)).cpu()
    image = torch.stack(rows) if rows else words.new_empty(0, words.shape[1])
    return Embeddings(image.numpy(), tuple(read), words.numpy(), tuple(texts), tuple(errors))

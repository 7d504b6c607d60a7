"""Pictures made two, three or four times as large by a small network, in tiles.

Network and weights: SRVGGNetCompact, realesr-animevideov3, of Real-ESRGAN (Wang et al. 2021,
arXiv:2107.10833, https://github.com/xinntao/Real-ESRGAN). It was trained on drawings and films of
drawings. It always enlarges four times; two and three times are that result made smaller, as the
model's own files do it.
"""

import copy
import json
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from guidegen.config import UpscaleFactor
from guidegen.errors import ConfigError, WeightsError
from guidegen.interfaces import Images
from guidegen.precision import Arithmetic, autocast, generator_arithmetic
from guidegen.utils.memory import available_memory
from guidegen.weights.store import MODEL, SOURCE, embedded, sha256_file

NAME = "realesr-animevideov3"
_FOUR = 4
# Input pixels of one tile's side, and around it what its outermost pixels depend on: 18
# convolutions of 3 pixels reach 18 far, and the resize to two or three times less than one more.
_TILE, _MARGIN = 512, 19
# A picture beyond this is a mistake more often than a wish, and its PNG takes minutes.
_MOST_PIXELS = 2**29
# Bytes that a tile takes at the height of it, for each of its input pixels; measured, rounded up.
_TILE_BYTES = 1200


class UpscaleNet(nn.Module):
    """Real-ESRGAN's SRVGGNetCompact: convolutions at the input's size, one shuffle at the end.

    Args:
        features: channels in between.
        convolutions: how many of features to features there are.

    Shape:
        [n, 3, h, w] in [0, 1] to [n, 3, 4h, 4w], about in [0, 1].
    """

    def __init__(self, features: int = 64, convolutions: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * _FOUR**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, images: Images) -> Images:
        """Enlarge four times."""
        detail = F.pixel_shuffle(self.body(images), _FOUR)
        return detail + F.interpolate(images.to(detail.dtype), scale_factor=_FOUR, mode="nearest")


class Upscaler:
    """Enlarges pictures of any size; memory beyond the result's own is that of one tile.

    Args:
        net: the network.
        device: where it computes.
        precision: its arithmetic.
        tile: side in pixels of the parts that are enlarged by themselves. The result does not
            depend on it but for rounding.
    """

    def __init__(
        self,
        net: UpscaleNet,
        *,
        device: torch.device | str = "cpu",
        precision: torch.dtype = torch.float32,
        tile: int = _TILE,
    ) -> None:
        self.device = torch.device(device)
        self.precision = precision
        self.tile = tile
        net = net.eval().requires_grad_(False).to(self.device)
        self._net = net.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def enlarge(self, pixels: np.ndarray, factor: int) -> np.ndarray:
        """Enlarge a picture.

        Args:
            pixels: [H, W, 3] bytes.
            factor: 2, 3 or 4.

        Returns:
            [factor * H, factor * W, 3] bytes.
        """
        height, width = pixels.shape[:2]
        out = np.empty((factor * height, factor * width, 3), np.uint8)
        for top, bottom in _parts(height, self.tile):
            for left, right in _parts(width, self.tile):
                rows = slice(max(0, top - _MARGIN), min(height, bottom + _MARGIN))
                columns = slice(max(0, left - _MARGIN), min(width, right + _MARGIN))
                part = self._tile(pixels[rows, columns], factor)
                y, x = factor * (top - rows.start), factor * (left - columns.start)
                part = part[y : y + factor * (bottom - top), x : x + factor * (right - left)]
                place = out[factor * top : factor * bottom, factor * left : factor * right]
                place[:] = part.cpu().numpy()
        return out

    def _tile(self, pixels: np.ndarray, factor: int) -> Tensor:
        """A part, [h, w, 3] bytes to [factor * h, factor * w, 3] bytes."""
        images = torch.from_numpy(pixels.copy()).to(self.device)
        large = self.enlarge_floats(images.permute(2, 0, 1)[None].float() / 255, factor)
        out: Tensor = large[0].clamp_(0, 1).mul_(255).round_().byte().permute(1, 2, 0)
        return out

    def enlarge_floats(self, images: Images, factor: int) -> Images:
        """Enlarge [n, 3, h, w] in one piece, to values about in [0, 1]."""
        with autocast(self.device, self.precision):
            large: Tensor = self._net(images.contiguous(memory_format=torch.channels_last)).float()
        if factor == _FOUR:
            return large
        size = (factor * images.shape[-2], factor * images.shape[-1])
        return F.interpolate(large, size, mode="bicubic", align_corners=False)

    def picture(self, image: Image.Image, factor: int) -> Image.Image:
        """Enlarge a picture; its transparency, if it has some, goes through the network as well.

        Args:
            image: of any mode; RGB or RGBA is what comes back.
            factor: 2, 3 or 4.

        Raises:
            ConfigError: the factor is another, or the result would not fit into memory.
        """
        check_upscale(image.height, image.width, factor)
        transparent = image.has_transparency_data
        image = image.convert("RGBA" if transparent else "RGB")
        pixels = np.asarray(image)
        colours = Image.fromarray(self.enlarge(pixels[..., :3], factor), "RGB")
        if transparent:
            alpha = np.repeat(pixels[..., 3:], 3, axis=2)
            colours.putalpha(Image.fromarray(self.enlarge(alpha, factor)[..., 1], "L"))
        return colours


def _parts(length: int, most: int) -> list[tuple[int, int]]:
    """Cut a length into parts of about the same size, none longer than `most`."""
    count = -(-length // most)
    ends = [length * number // count for number in range(count + 1)]
    return list(pairwise(ends))


def check_upscale(height: int, width: int, factor: int) -> None:
    """Refuse a picture that can't be enlarged, before any work.

    Args:
        height: of the picture, in pixels.
        width: the same.
        factor: how many times as large.

    Raises:
        ConfigError: the factor is not 2, 3 or 4, or the result would not fit into memory.
    """
    if factor not in get_args(UpscaleFactor) or factor == 1:
        raise ConfigError(f"pictures are enlarged 2, 3 or 4 times, not {factor}")
    pixels = factor**2 * height * width
    size = f"{factor * width}x{factor * height}"
    if pixels > _MOST_PIXELS:
        raise ConfigError(
            f"{width}x{height} enlarged {factor} times is {size}, more than "
            f"{_MOST_PIXELS / 1e6:.0f} megapixels; take a smaller factor or picture"
        )
    tile = min(height, _TILE + 2 * _MARGIN) * min(width, _TILE + 2 * _MARGIN)
    # colours and transparency, as an array and as a picture, and the PNG of it
    needed = 10 * pixels + _TILE_BYTES * tile
    free = available_memory()
    if free is not None and needed > free:
        raise ConfigError(
            f"{width}x{height} enlarged {factor} times is {size} and takes "
            f"{needed / 1e9:.1f} GB of memory, but {free / 1e9:.1f} GB are free; take a smaller "
            "factor or picture"
        )


@lru_cache(maxsize=2)
def load_upscaler(device: str = "cpu", precision: str = "auto") -> Upscaler:
    """The embedded upscaler.

    Args:
        device: where it computes: cpu, cuda, cuda:1 or mps.
        precision: "auto", "fp32" or "bf16"; see `guidegen.precision.generator_arithmetic`.

    Raises:
        ConfigError: a precision that the device has not.
        WeightsError: its file is missing or damaged.
    """
    net = UpscaleNet()
    net.load_state_dict(_read_weights(embedded("upscaler")))

    def workload(choice: Arithmetic) -> Callable[[], object]:
        upscaler = Upscaler(copy.deepcopy(net), device=device, precision=choice.dtype)
        pixels = np.zeros((64, 64, 3), np.uint8)
        return lambda: upscaler.enlarge(pixels, _FOUR)

    arithmetic = generator_arithmetic(
        precision, device, module="upscaler", shapes=NAME, workload=workload
    )
    return Upscaler(net, device=device, precision=arithmetic.dtype)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / MODEL
    again = "install guidegen again"
    try:
        recorded = json.loads((folder / SOURCE).read_text(encoding="utf-8"))["sha256"]
        if sha256_file(path) != recorded:
            raise WeightsError(f"{path} has changed since it was made; {again}")
        return {name: value.float() for name, value in load_file(path).items()}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise WeightsError(f"can't read {path}: {error}; {again}") from error

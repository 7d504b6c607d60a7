"""Drawing a part of a picture: what the mask keeps stays as it was, to the last bit.

The generator draws the whole canvas and what is kept is laid over it before anybody looks, so CLIP
sees the whole picture and its gradient reaches only what is free.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.config import ResolvedSettings, RunConfig
from guidegen.engine.defaults import canvas
from guidegen.errors import ConfigError, about
from guidegen.interfaces import Encodes, Generator, Images, Latents
from guidegen.interfaces.wrapped import Wrapped
from guidegen.media.decode import decode
from guidegen.media.images import read_grey, read_init, read_picture
from guidegen.ops import resize

# Pixels, in parts of the shorter side, over which the picture fades into what is kept. They lie
# within the free part.
_FADE = 1 / 64


class Inpainting(Wrapped):
    """A generator whose pictures keep a part of another picture.

    Args:
        generator: draws; it can encode.
        kept: the other picture, [1, 3, H, W].
        free: [1, 1, H, W], 1 where the generator draws and 0 where the other picture stays.
    """

    def __init__(self, generator: Generator, kept: Images, free: Tensor) -> None:
        super().__init__(generator)
        self.kept, self.free = kept, free

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """The generator's picture where it is free, and the other one elsewhere."""
        drawn = self.generator.decode(latents, size=size)
        kept, free = self.kept.to(drawn), self.free.to(drawn)
        if drawn.shape[-2:] != kept.shape[-2:]:
            side = (drawn.shape[-2], drawn.shape[-1])
            kept, free = (resize(part, side) for part in (kept, free))
        return free * drawn + (1 - free) * kept

    def encode(self, images: Images) -> Latents:
        """As the generator."""
        assert isinstance(self.generator, Encodes)
        return self.generator.encode(images)


def inpainting(generator: Generator, settings: ResolvedSettings) -> Generator:
    """The generator, keeping what the settings say; itself where they say nothing."""
    if settings.mask is None and settings.outpaint is None:
        return generator
    size = settings.height_width()
    assert settings.init_image is not None
    free = _free(settings, size)
    return Inpainting(generator, start_picture(settings), soft(free))


def start_picture(settings: ResolvedSettings) -> Images:
    """The init image [1, 3, H, W] on its canvas, whose margins mirror it."""
    assert settings.init_image is not None
    margins = settings.margins()
    if margins is None:
        return read_init(settings.init_image, settings.height_width())
    picture = read_picture(settings.init_image, "init image")
    left, top, right, bottom = margins
    height, width = picture.shape[-2:]
    rows = mirrored(-top, height + bottom, height)
    return picture[..., rows, :][..., mirrored(-left, width + right, width)]


def mirrored(begin: int, end: int, length: int) -> Tensor:
    """Places begin..end-1 of a line that is mirrored at its ends for ever, as places within it."""
    place = torch.arange(begin, end) % (2 * length)
    return torch.minimum(place, 2 * length - 1 - place)


def soft(free: Tensor) -> Tensor:
    """The mask [1, 1, H, W] fading from 1 towards what it keeps, where it stays exactly 0."""
    reach = round(min(free.shape[-2:]) * _FADE)
    if reach < 1:
        return free
    padded = F.pad(free, (reach,) * 4, mode="replicate")
    near = F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    # at the border of the mask half of the neighbourhood is free
    return free * (2 * near - 1).clamp(0, 1)


def check_inpainting(config: RunConfig) -> None:
    """Refuse masks and canvases that can't be.

    Raises:
        GuidegenError: about the setting at fault.
    """
    for field, what in (("mask", "keep parts of it"), ("outpaint", "draw around it")):
        if getattr(config, field) is None:
            continue
        if config.init_image is None:
            raise ConfigError(f"name the init image too, to {what}", field=field)
        if config.moves:
            raise ConfigError(
                "what is kept can't move; leave zoom, shift and rotate out", field=field
            )
    if config.outpaint is not None and config.height_width() is not None:
        wanted = canvas(config)
        if wanted not in (None, config.height_width()):
            assert wanted is not None
            raise ConfigError(
                f"with what is drawn around it the picture has {wanted[1]}x{wanted[0]} pixels; "
                "leave the size out",
                field="size",
            )
    if config.mask is None:
        return
    if config.outpaint is not None:
        raise ConfigError("a mask or margins around the picture, not both", field="mask")
    assert config.init_image is not None
    with about("mask"):
        mask = decode(config.mask, "mask")
        picture = decode(config.init_image, "init image")
        if mask.size != picture.size:
            raise ConfigError(
                f"the mask has {mask.width}x{mask.height} pixels, the init image "
                f"{picture.width}x{picture.height}; they must be alike"
            )
        low, high = mask.convert("L").getextrema()
        if low == high:
            says = "keeps the whole picture" if high == 0 else "keeps nothing"
            raise ConfigError(f"the mask {config.mask} is of one grey and {says}")


def _free(settings: ResolvedSettings, size: tuple[int, int]) -> Tensor:
    if settings.mask is not None:
        return read_grey(settings.mask, size, "mask")
    margins = settings.margins()
    assert margins is not None
    left, top, right, bottom = margins
    free = torch.ones(1, 1, *size)
    free[..., top : size[0] - bottom, left : size[1] - right] = 0
    return free

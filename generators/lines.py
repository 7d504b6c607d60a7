"""Strokes with width and colour, which can't hide anything in single pixels; also as SVG.

Source: Frans, Soros & Witkowski 2021, "CLIPDraw: Exploring Text-to-Drawing Synthesis through
Language-Image Encoders" (arXiv:2106.14843). In place of diffvg's rasteriser here is one in torch: a
pixel takes a stroke's colour by its distance to the nearest piece of the curve.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Images, Latents, Preference, Vocabulary

# Straight pieces of a curve.
_PIECES = 12
# Learning rates of CLIPDraw, 1 pixel of 224, .1 pixel and .01 of a colour, against the last.
_PLACE, _WIDTH = 1 / 2.24, 0.1 / 2.24
# Pixels over which the edge of a stroke fades.
_EDGE = 0.7


class Lines:
    """Latents of N strokes, each a cubic Bézier curve.

    place [B, N, 4, 2]    its four points in parts of the shorter side, over `_PLACE`
    width [B, N]          in parts of the shorter side, over `_WIDTH`
    colour [B, N, 4]      red, green, blue and opacity in [0, 1]

    Args:
        info: the card.
        size: (height, width).
        device: where it computes.
        strokes: N.
        thickest: largest width, in parts of the shorter side.
        ink: "colours" or "black".
    """

    vocabulary: Vocabulary | None = None
    digest = ""

    def __init__(
        self,
        info: GeneratorInfo,
        size: tuple[int, int],
        device: str,
        *,
        strokes: int = 64,
        thickest: float = 0.05,
        ink: str = "colours",
    ) -> None:
        self.info, self.size, self.device = info, size, device
        self.strokes, self.thickest, self.black = strokes, thickest, ink == "black"
        self.thinnest = 0.4 / 224
        shorter = min(size)
        self.extent = torch.tensor([size[1] / shorter, size[0] / shorter])

    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """Short strokes anywhere, of any colour."""
        drawn = [self._draw(rng) for rng in rngs[:batch]]
        return {n: torch.stack([one[n] for one in drawn]).to(self.device) for n in drawn[0]}

    def _draw(self, rng: torch.Generator) -> Latents:
        first = torch.rand(self.strokes, 1, 2, generator=rng) * self.extent
        moves = 0.1 * (torch.rand(self.strokes, 3, 2, generator=rng) - 0.5)
        places = torch.cat([first, first + moves.cumsum(1)], 1)
        wide = torch.rand(self.strokes, generator=rng)
        colour = torch.rand(self.strokes, 4, generator=rng)
        if self.black:
            colour[:, :3] = 0
        width = self.thinnest + (0.4 * self.thickest - self.thinnest) * wide
        return {"place": places / _PLACE, "width": width / _WIDTH, "colour": colour}

    def decode(self, latents: Latents, *, size: tuple[int, int] | None = None) -> Images:
        """The strokes one over the other on white, at any size."""
        size = size or self.size
        drawn = [
            self._paint({name: value[b] for name, value in latents.items()}, size)
            for b in range(len(latents["width"]))
        ]
        return torch.stack(drawn)

    def _paint(self, latents: Latents, size: tuple[int, int]) -> Tensor:
        """One picture [3, H, W]."""
        scale = min(size)
        curves = polylines(latents["place"] * _PLACE) * scale
        widths = latents["width"] * _WIDTH * scale
        canvas = torch.ones(3, *size, device=self.device)
        boxes = _boxes(curves, widths, size)
        for curve, wide, colour, box in zip(curves, widths, latents["colour"], boxes, strict=True):
            top, bottom, left, right = box
            if top >= bottom or left >= right:
                continue
            rows = torch.arange(top, bottom, device=self.device) + 0.5
            columns = torch.arange(left, right, device=self.device) + 0.5
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            away = distance(torch.stack([x, y], -1).view(-1, 2), curve).view(y.shape)
            inside = torch.sigmoid((wide / 2 - away) / (_EDGE / 2))
            # a stroke thinner than a pixel covers only that part of it
            cover = inside * colour[3] * wide.clamp(max=1.0)
            ink = torch.zeros_like(colour[:3]) if self.black else colour[:3]
            under = canvas[:, top:bottom, left:right].clone()
            canvas[:, top:bottom, left:right] = under * (1 - cover) + ink[:, None, None] * cover
        return canvas.clamp(0, 1)

    def constrain_(self, latents: Latents) -> None:
        """Keep widths and colours in their ranges, and strokes near the picture."""
        latents["width"].data.clamp_(self.thinnest / _WIDTH, self.thickest / _WIDTH)
        latents["colour"].data.clamp_(0, 1)
        low, high = -0.1 / _PLACE, (self.extent.to(self.device) + 0.1) / _PLACE
        place = latents["place"].data
        place.copy_(torch.minimum(place.clamp(min=low), high))

    def prior(self, latents: Latents) -> Tensor:
        """None."""
        return torch.zeros(len(latents["width"]), device=self.device)

    def svg(self, latents: Latents) -> str:
        """The drawing of latents, a batch of one, in SVG; its unit is a pixel of the picture."""
        height, width = self.size
        scale = min(self.size)
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}">',
            '<rect width="100%" height="100%" fill="white"/>',
            '<g fill="none" stroke-linecap="round">',
        ]
        places = (latents["place"][0] * _PLACE * scale).tolist()
        widths = (latents["width"][0] * _WIDTH * scale).tolist()
        for (a, b, c, d), wide, colour in zip(
            places, widths, latents["colour"][0].tolist(), strict=True
        ):
            ink = (0, 0, 0) if self.black else tuple(round(255 * part) for part in colour[:3])
            points = " ".join(f"{u:.2f},{v:.2f}" for u, v in (b, c, d))
            lines.append(
                f'<path d="M{a[0]:.2f},{a[1]:.2f} C{points}" stroke="rgb{ink}" '
                f'stroke-width="{wide:.2f}" stroke-opacity="{colour[3]:.3f}"/>'
            )
        return "\n".join([*lines, "</g>", "</svg>", ""])


def polylines(places: Tensor) -> Tensor:
    """Points [N, P, 2] along cubic Bézier curves of points [N, 4, 2]."""
    t = torch.linspace(0, 1, _PIECES + 1, device=places.device)
    weights = torch.stack(
        [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], -1
    )  # Bernstein
    return torch.einsum("pk,nkd->npd", weights, places)


@torch.no_grad()
def _boxes(curves: Tensor, widths: Tensor, size: tuple[int, int]) -> list[tuple[int, ...]]:
    """Top, bottom, left and right of the pixels that each stroke can reach; one look for all."""
    reach = (widths / 2 + 5 * _EDGE)[:, None]
    last = torch.tensor([size[1], size[0]], device=curves.device)
    low = (curves.amin(1) - reach).floor().clamp(min=0)
    high = torch.minimum((curves.amax(1) + reach).ceil(), last)
    found = torch.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], 1)
    return [tuple(row) for row in found.int().tolist()]


def distance(pixels: Tensor, curve: Tensor) -> Tensor:
    """Distance [n] of pixels [n, 2] to the nearest piece of a polyline [P, 2].

    Which piece that is, is found without gradient: only one a pixel is kept for the way back.
    """
    begin, end = curve[:-1], curve[1:]
    with torch.no_grad():
        nearest = _to_pieces(pixels[:, None], begin[None], end[None]).argmin(1)
    return (_to_pieces(pixels, begin[nearest], end[nearest]) + 1e-6).sqrt()


def _to_pieces(pixels: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Squared distances of pixels to straight pieces, all [..., 2]."""
    along = end - begin
    length = along.square().sum(-1).clamp(min=1e-9)
    share = (((pixels - begin) * along).sum(-1) / length).clamp(0, 1)
    return (pixels - begin - share[..., None] * along).square().sum(-1)


def build(
    info: GeneratorInfo,
    *,
    size: tuple[int, int],
    device: str,
    precision: str,
    options: Mapping[str, Any],
) -> Lines:
    """Entry point; see `guidegen.backend.Backend`."""
    return Lines(info, size, device, **options)

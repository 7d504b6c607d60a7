"""What lies behind a collage's drawings: a plain ground of two colours, or sky and land."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from guidegen.interfaces import Images, Preference

HORIZON = 0.2  # how far down it is, from -1 at the top of the picture to 1
# A backdrop suits the words if its name scores so much, and nearly as much as the best.
_SUITS, _WITHIN = 1.5, 1.0


def logits(*rgb: int) -> list[float]:
    """A colour, 0 to 255 a channel, as logits."""
    return [math.log(p / (1 - p)) for p in (min(max(c / 255, 0.02), 0.98) for c in rgb)]


@dataclass(frozen=True)
class Backdrop:
    """Two colours and what they look like.

    Attributes:
        name: in words, which the prompt is compared with.
        top: colour at the top, 0 to 255 a channel.
        bottom: at the bottom.
        land: the colours meet at a horizon, on which things stand; else they change slowly.
    """

    name: str
    top: tuple[int, int, int]
    bottom: tuple[int, int, int]
    land: bool = False

    @property
    def colours(self) -> list[list[float]]:
        """[2, 3], logits of both."""
        return [logits(*self.top), logits(*self.bottom)]

    def picture(self, side: int) -> Images:
        """[3, side, side]."""
        colours = torch.tensor(self.colours).sigmoid()
        return paint_backdrop(colours, self.land, side).expand(3, side, side)


BACKDROPS = (
    Backdrop("white paper", (255, 255, 255), (240, 243, 247)),
    Backdrop("cream paper", (250, 247, 238), (238, 230, 214)),
    Backdrop("pale blue paper", (225, 238, 250), (205, 226, 245)),
    Backdrop("blue sky", (120, 190, 245), (225, 243, 255)),
    Backdrop("grey rainy sky", (140, 150, 165), (190, 196, 204)),
    Backdrop("fog", (205, 210, 220), (150, 158, 172)),
    Backdrop("orange evening sky", (250, 190, 110), (235, 110, 80)),
    Backdrop("purple dusk", (60, 40, 110), (235, 130, 100)),
    Backdrop("pink dream", (255, 225, 235), (250, 190, 210)),
    Backdrop("night sky", (12, 16, 50), (45, 55, 110)),
    Backdrop("outer space, the cosmos", (10, 8, 30), (50, 25, 85)),
    Backdrop("darkness, sadness and fear", (45, 50, 62), (22, 24, 32)),
    Backdrop("fire, lava and hell", (40, 12, 10), (150, 40, 15)),
    Backdrop("under water, deep sea", (60, 165, 205), (10, 60, 120)),
    Backdrop("green leaves, jungle", (120, 180, 110), (35, 95, 50)),
    Backdrop("party, celebration, joy", (255, 240, 170), (250, 190, 200)),
    Backdrop("meadow, green hills under a blue sky", (135, 200, 250), (130, 190, 95), land=True),
    Backdrop("mountains, high land", (160, 196, 234), (118, 150, 104), land=True),
    Backdrop("beach, sand at the sea", (120, 200, 240), (240, 214, 150), land=True),
    Backdrop("sea, open water", (180, 220, 250), (50, 120, 190), land=True),
    Backdrop("desert", (250, 215, 160), (225, 170, 95), land=True),
    Backdrop("snow in winter", (160, 200, 235), (245, 248, 252), land=True),
    Backdrop("snowy night in winter", (18, 26, 68), (196, 208, 234), land=True),
    Backdrop("forest, woods", (178, 210, 178), (72, 108, 58), land=True),
    Backdrop("meadow at night", (14, 20, 58), (24, 54, 44), land=True),
    Backdrop("land at sunset", (252, 168, 96), (96, 58, 62), land=True),
    Backdrop("street in a city", (190, 212, 232), (126, 130, 136), land=True),
    Backdrop("autumn field", (205, 222, 235), (206, 160, 72), land=True),
    Backdrop("floor of a room", (242, 232, 216), (172, 122, 78), land=True),
    Backdrop("bare land under a stormy sky", (98, 106, 122), (92, 84, 76), land=True),
)
_DARK = tuple("night" in backdrop.name or "space" in backdrop.name for backdrop in BACKDROPS)
# Where the words don't say: white, cream, pale blue or a sky; with surroundings a meadow.
_PLAIN = (0, 1, 2, 3)
_MEADOW = 16

# What a drawing is dyed in where the prompt names a colour that it has not.
DYES = {
    name: logits(*rgb)
    for name, rgb in {
        "red": (215, 35, 35), "orange": (245, 130, 30), "yellow": (250, 210, 40),
        "green": (50, 165, 65), "blue": (50, 110, 225), "purple": (135, 65, 190),
        "pink": (245, 130, 180), "brown": (130, 85, 50), "black": (35, 35, 38),
        "gray": (135, 140, 146), "white": (248, 248, 248),
    }.items()
}  # fmt: skip


def draw_backdrop(
    rng: torch.Generator, preference: Preference | None, *, inside: bool, alone: bool
) -> tuple[list[list[float]], bool]:
    """A backdrop that suits the words.

    Args:
        rng: the candidate's own.
        preference: its scores end with those of `BACKDROPS`; None draws evenly.
        inside: there are surroundings, which want land.
        alone: there is one thing, which may do with a plain backdrop whatever suits the words.

    Returns:
        [2, 3] logits of the colours, and whether they meet at a horizon.
    """
    if preference is not None and preference.backdrop in DYES:
        colour = DYES[preference.backdrop]
        return [[logit + 0.4 for logit in colour], colour], False
    options = tuple(range(len(BACKDROPS)))
    if preference is not None:
        options = _suitable(preference)
        if alone and preference.backdrop != "night":
            options = (*options, *_PLAIN)
        options = options or ((_MEADOW,) if inside else _PLAIN)
    chosen = BACKDROPS[options[int(torch.randint(0, len(options), (1,), generator=rng))]]
    return chosen.colours, chosen.land


def _suitable(preference: Preference) -> tuple[int, ...]:
    """Numbers of the backdrops that the words name, more or less; may be none."""
    # surroundings say what is behind; where there are none, any part of the prompt may
    places = [n for n, phrase in enumerate(preference.phrases) if phrase.place]
    of_phrases = preference.scores[places or slice(None), -len(BACKDROPS) :]
    scores = of_phrases.max(0).values
    if preference.backdrop == "night":
        scores = torch.where(torch.tensor(_DARK), scores, -torch.inf)
        least = float(scores.max()) - _WITHIN
    else:
        least = max(float(scores.max()) - _WITHIN, _SUITS)
    return tuple((scores >= least).nonzero().flatten().tolist())


def paint_backdrop(colours: Tensor, land: bool, height: int) -> Tensor:
    """Both colours [2, 3] down a picture: [3, height, 1].

    Without land the middle is steeper than a straight ramp, which reads as sky and ground. With
    it the sky grows lighter towards the horizon and the land darker towards the viewer.
    """
    top, bottom = (colour.view(3, 1, 1) for colour in colours.unbind(0))
    down = torch.linspace(-1, 1, height, device=colours.device).view(1, height, 1)
    if not land:
        ramp = torch.sigmoid(4 * down)
        return top * (1 - ramp) + bottom * ramp
    ramp = torch.sigmoid((down - HORIZON) / 0.008)
    sky = top * (1 + 0.2 * ((down + 1) / (HORIZON + 1)).clamp(0, 1) ** 2)
    earth = bottom * (1 - 0.15 * ((down - HORIZON) / (1 - HORIZON)).clamp(0, 1))
    return (sky * (1 - ramp) + earth * ramp).clamp(max=1.0)

"""Strokes: their rasteriser against the curve itself, and their SVG."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

import guidegen
from generators import LINES
from generators.lines import _PLACE, _WIDTH, distance, polylines
from tests.helpers.tiny_clip import make_tiny_clip


def lines(size=(48, 48), **options):
    values = LINES.variants[""].read_options([f"{k}={v}" for k, v in options.items()])
    return LINES.load("", size=size, device="cpu", options=values)


def stroke(places, width, colour):
    return {
        "place": torch.tensor([[places]]) / _PLACE,
        "width": torch.tensor([[width]]) / _WIDTH,
        "colour": torch.tensor([[colour]]),
    }


ACROSS = [[0.1, 0.5], [0.4, 0.5], [0.6, 0.5], [0.9, 0.5]]


def test_a_straight_stroke_is_as_wide_and_as_long_as_it_says():
    latents = stroke(ACROSS, 0.15, [1.0, 0.0, 0.0, 1.0])
    image = lines(strokes=1, thickest=0.3).decode(latents)[0]
    inked = 1 - image[1]  # white has green, red ink none
    column = inked[:, 24]
    assert column.sum() == pytest.approx(0.15 * 48, abs=0.1)
    assert image[:, 24, 24].tolist() == pytest.approx([1, 0, 0], abs=0.01)
    # from the middle of one round end to that of the other, and a radius beyond each
    assert inked[24].sum() == pytest.approx((0.8 + 0.15) * 48, abs=0.5)
    assert image[:, 2, 2].tolist() == [1, 1, 1]


def test_the_curve_is_beziers():
    points = torch.rand(1, 4, 2, generator=torch.Generator().manual_seed(0))
    found = polylines(points)[0]
    a, b, c, d = points[0]
    halves = (a + b) / 2, (b + c) / 2, (c + d) / 2
    middle = ((halves[0] + halves[1]) / 2 + (halves[1] + halves[2]) / 2) / 2  # de Casteljau
    assert torch.allclose(found[0], a)
    assert torch.allclose(found[-1], d)
    assert torch.allclose(found[len(found) // 2], middle, atol=1e-6)


def test_distances_are_those_to_the_nearest_piece():
    curve = torch.tensor([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    pixels = torch.tensor([[5.0, 3.0], [13.0, 4.0], [-3.0, 4.0], [10.0, 12.0]])
    assert distance(pixels, curve).tolist() == pytest.approx([3, 3, 5, 2], abs=1e-3)


def test_later_strokes_lie_over_earlier_ones_and_opacity_counts():
    red, blue = [1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.5]
    first, second = stroke(ACROSS, 0.25, red), stroke(ACROSS, 0.25, blue)
    both = {name: torch.cat([first[name], second[name]], 1) for name in first}
    assert lines(strokes=2).decode(both)[0, :, 24, 24].tolist() == pytest.approx(
        [0.5, 0, 0.5], abs=0.01
    )


def test_gradients_move_a_stroke_to_where_it_is_wanted():
    generator = lines(strokes=1, thickest=0.3)
    wanted = generator.decode(stroke([[x, y + 0.08] for x, y in ACROSS], 0.2, [0, 0, 0, 1.0]))
    latents = stroke(ACROSS, 0.1, [0.3, 0.3, 0.3, 0.8])
    latents = {name: value.requires_grad_() for name, value in latents.items()}
    optimizer = torch.optim.Adam(latents.values(), lr=0.03)
    for _ in range(40):
        optimizer.zero_grad()
        loss = (generator.decode(latents) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        generator.constrain_(latents)
    places = latents["place"].detach() * _PLACE
    assert (places[0, 0, :, 1] - 0.58).abs().max() < 0.04
    assert loss < 0.03


def test_the_svg_is_the_same_drawing():
    generator = lines(size=(40, 80), strokes=1)
    latents = stroke(ACROSS, 0.25, [1.0, 0.0, 0.0, 0.5])
    root = ElementTree.fromstring(generator.svg(latents))
    assert root.attrib["viewBox"] == "0 0 80 40"
    (path,) = root.iter("{http://www.w3.org/2000/svg}path")
    assert path.attrib["d"] == "M4.00,20.00 C16.00,20.00 24.00,20.00 36.00,20.00"
    assert (path.attrib["stroke"], path.attrib["stroke-width"]) == ("rgb(255, 0, 0)", "10.00")
    assert path.attrib["stroke-opacity"] == "0.500"
    inked = (1 - generator.decode(latents)[0, 1] > 0.25).nonzero()
    assert inked[:, 0].min() == 15
    assert inked[:, 0].max() == 24
    assert inked[:, 1].max() <= 41


def test_black_ink_stays_black():
    generator = lines(strokes=8, ink="black")
    latents = generator.init(1, rngs=[torch.Generator().manual_seed(0)])
    latents["colour"][..., :3] = 1.0
    image = generator.decode(latents)[0]
    assert torch.allclose(image[0], image[2])
    assert image.min() < 0.9
    assert "rgb(0, 0, 0)" in generator.svg(latents)


def test_the_svg_lies_beside_the_picture(tmp_path):
    clip = make_tiny_clip(tmp_path / "clip")
    picture = guidegen.generate(
        "a cat", generator="lines", option="strokes=4", perceptor=f"local-dir:{clip}", size=32,
        steps=2, cutouts=1, out=tmp_path / "cat.png",
    )  # fmt: skip
    text = (tmp_path / "cat.svg").read_text()
    assert (picture.run.path / "image.svg").read_text() == text
    assert len(re.findall("<path", text)) == 4

"""A palette that every pixel keeps to."""

from inspect import getattr_static

import numpy as np
import pytest
import torch
from PIL import Image

import guidegen
from generators import PIXELS, PYRAMID
from guidegen.config import make_config
from guidegen.engine.resolve import check
from guidegen.errors import GuidegenError
from guidegen.guidance.limited import Limited, snapped
from guidegen.interfaces import Encodes, Mixes
from tests.helpers.loops import make_loop
from tests.helpers.tiny_clip import make_tiny_clip

COLOURS = torch.tensor([[0.0, 0.0, 0.5], [0.9, 0.1, 0.2], [1.0, 1.0, 1.0]])


def test_every_pixel_has_the_nearest_colour():
    image = torch.tensor([[0.1, 0.1, 0.4], [0.7, 0.2, 0.3], [0.9, 0.9, 0.8], [0.0, 0.0, 0.5]])
    found = snapped(image.T.reshape(1, 3, 2, 2), COLOURS)[0].flatten(1).T
    assert torch.equal(found, COLOURS[[0, 1, 2, 0]])


def test_the_gradient_leads_to_another_colour():
    leaf = torch.full((1, 3, 1, 1), 0.75, requires_grad=True)
    snapped(leaf, COLOURS)[:, 2].sum().backward()
    assert leaf.grad.abs().sum() > 0


def test_in_the_loop_a_colour_gives_way_to_a_better_one():
    def generator():
        return Limited(PIXELS.load("", size=(24, 24), device="cpu"), COLOURS)

    steps = make_loop(["0.9,0.1,0.2"], [1], generator=generator(), steps=12, lr=0.1).run()
    for step in (steps[0], steps[-1]):
        rows = step.images.permute(0, 2, 3, 1).reshape(-1, 3)
        assert all(any(torch.equal(row, colour) for colour in COLOURS) for row in rows[:50])
    red = (steps[-1].images[:, 0] - COLOURS[1, 0]).abs() < 1e-6
    assert red.float().mean() > 0.5


def test_everything_else_is_the_generators():
    generator = PYRAMID.load("", size=(32, 32), device="cpu")
    limited = Limited(generator, COLOURS)
    assert limited.size == (32, 32)
    assert limited.info is generator.info
    assert isinstance(limited, Encodes)
    assert getattr_static(limited, "encode") == generator.encode  # how Python 3.12 asks
    assert not isinstance(limited, Mixes)


def test_a_finished_picture_has_no_other_colours(tmp_path):
    clip = make_tiny_clip(tmp_path / "clip")
    picture = guidegen.generate(
        "a cat", generator="pixels", palette="navy,crimson,white", perceptor=f"local-dir:{clip}",
        size=32, steps=2, cutouts=1, out=None,
    )  # fmt: skip
    found = {tuple(row) for row in np.asarray(picture.image).reshape(-1, 3).tolist()}
    assert found <= {(0, 0, 128), (220, 20, 60), (255, 255, 255)}
    assert len(found) > 1


@pytest.mark.parametrize(
    ("palette", "says"),
    [("red", "2 to 64 different"), ("red,blau", "'blau' is no colour"), ("no.png", "no colour")],
)
def test_what_is_no_palette_is_refused_before_any_work(palette, says):
    with pytest.raises(GuidegenError, match=says) as caught:
        check([make_config({"prompt": "a", "generator": "pixels", "palette": palette})])
    assert caught.value.field == "palette"


def test_a_palette_may_come_from_a_picture(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    config = make_config({"prompt": "a", "palette": str(tmp_path / "a.png")})
    check([config])
    before = config.digest()
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "a.png")
    assert config.digest() != before

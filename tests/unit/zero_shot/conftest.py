"""A tiny CLIP and plain pictures."""

import pytest
from PIL import Image, ImageDraw

from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The spec of a CLIP with random weights."""
    return f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'))}"


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """The spec of another one."""
    return f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'), seed=1)}"


@pytest.fixture(scope="session")
def picture():
    """Draws a disc of a colour on white."""

    def draw(path, color="red", size=(64, 64)):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, "white")
        ImageDraw.Draw(image).ellipse((5, 5, size[0] - 6, size[1] - 6), color)
        image.save(path)
        return path

    return draw

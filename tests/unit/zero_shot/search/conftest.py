"""Folders of discs, and what an index makes of them."""

import pytest

from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.search.query import open_index
from guidegen.zero_shot.search.update import bring_up_to_date

COLORS = ["red", "blue", "green", "yellow", "black"]


@pytest.fixture
def folder(tmp_path, picture):
    for color in COLORS:
        picture(tmp_path / "discs" / f"{color}.png", color)
    return tmp_path / "discs"


@pytest.fixture
def looked_at():
    """Brings an index up to date, and returns the steps that it took."""

    def update(folder, spec):
        model = open_clip_model(spec)
        index = open_index(folder, model)
        steps = list(bring_up_to_date(folder, index, model))
        index.close()
        return steps

    return update

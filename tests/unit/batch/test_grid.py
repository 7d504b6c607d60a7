"""Grids: axes, cells, sheets, and that a second call draws nothing."""

import pytest
from PIL import Image

from guidegen.batch.grid import Axis, draw_grid, make_grid, parse_axis
from guidegen.errors import ConfigError
from guidegen.media.labelled_grid import labelled_grid
from tests.helpers.lists import fast
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


def test_an_axis_is_a_setting_and_its_values():
    assert parse_axis("lr=.02, .05", "x") == Axis("lr", (".02", ".05"))
    assert parse_axis("cutout-scale=0.5,0.9;0.2,0.9", "x").values == ("0.5,0.9", "0.2,0.9")
    assert parse_axis("", "y") == Axis()
    assert parse_axis("prompt=a cat,a dog", "x").labels == ["a cat", "a dog"]
    assert parse_axis("seed=0,1", "x").labels == ["seed 0", "seed 1"]


@pytest.mark.parametrize("text", ["lr", "lr=", "lr=,", "=1", "speed=1,2", "out=a,b", "lr=1,1"])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_axis(text, "y")
    assert caught.value.field == "y"


def test_cells_stand_row_by_row():
    grid = make_grid({"prompt": "a"}, Axis("seed", ("1", "2", "3")), Axis("lr", ("0.1", "0.2")))
    assert [(c.lr, c.seed) for c in grid.configs] == [
        (0.1, 1), (0.1, 2), (0.1, 3), (0.2, 1), (0.2, 2), (0.2, 3),
    ]  # fmt: skip


def test_a_grid_with_a_wrong_cell_or_too_many_is_refused():
    with pytest.raises(ConfigError, match="steps"):
        make_grid({"prompt": "a"}, Axis("steps", ("1", "x")), Axis())
    many = Axis("seed", tuple(map(str, range(401))))
    with pytest.raises(ConfigError, match="400 cells"):
        make_grid({"prompt": "a"}, many, Axis())
    with pytest.raises(ConfigError, match="both axes"):
        make_grid({"prompt": "a"}, Axis("lr", ("1",)), Axis("lr", ("2",)))


def test_a_sheet_has_its_pictures_in_place(tmp_path):
    red, blue = tmp_path / "red.png", tmp_path / "blue.png"
    Image.new("RGB", (40, 40), (255, 0, 0)).save(red)
    Image.new("RGB", (40, 40), (0, 0, 255)).save(blue)
    sheet = labelled_grid([[red, None], [None, blue]], columns=["a", "b"], rows=["c", "d"], side=40)
    right, bottom = sheet.width - 26, sheet.height - 26
    assert sheet.getpixel((right, bottom)) == (0, 0, 255)
    assert sheet.getpixel((right - 46, bottom - 46)) == (255, 0, 0)
    assert sheet.getpixel((right, bottom - 46)) == (0xDD, 0xDD, 0xDD)
    labels = sheet.crop((150, 0, sheet.width, 60))  # above the pictures
    assert labels.getextrema() != ((255, 255),) * 3


@pytest.mark.slow
def test_a_grid_is_drawn_once_and_harmed_by_no_cell(tmp_path, clip):
    settings = {**fast(clip), "prompt": "a", "out": tmp_path}
    grid = make_grid(settings, Axis("seed", ("1", "2")), Axis("lr", ("0.1", "0.2")))
    first = {o.job.number: o.run for o in draw_grid(grid)}
    assert sorted(first) == [0, 1, 2, 3]
    again = list(draw_grid(grid))
    assert all(outcome.reused for outcome in again)
    path = grid.write_sheet(tmp_path, {n: tmp_path / run for n, run in first.items()}, side=32)
    with Image.open(path) as sheet:
        assert sheet.size == (150 + 2 * 38, 66 + 2 * 38)

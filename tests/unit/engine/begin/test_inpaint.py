"""Keeping a part of a picture, and drawing around it."""

import numpy as np
import pytest
import torch
from PIL import Image

from guidegen.config import make_config
from guidegen.engine.begin.inpaint import mirrored, soft
from guidegen.engine.generate import generate
from guidegen.engine.resolve import check
from guidegen.errors import ConfigError, GuidegenError, InputImageError
from tests.helpers.tiny_clip import make_tiny_clip

SIDE = 64


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A CLIP, a picture of noise, and a mask that frees its right half."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "init.png")
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[:, SIDE // 2 :] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask * 0).save(folder / "black.png")
    Image.fromarray(mask[:, :32]).save(folder / "narrow.png")
    make_tiny_clip(folder / "clip")
    return folder


def config(files, **settings):
    fields = {"prompt": "a cat", "perceptor": f"local-dir:{files / 'clip'}", "cutouts": 2}
    fields |= {"steps": 2, "lr": 0.1, "size": SIDE, "init_image": files / "init.png"}
    return make_config({**fields, **settings})


def pixels(image):
    return np.asarray(image).astype(int)


def draw(*args, **settings):
    (picture,) = generate([config(*args, **settings)], write=False)
    return pixels(picture.image)


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["pixels", "pyramid", "fourier", "vqgan/embedded"])
def test_what_is_black_stays_and_the_rest_is_drawn(files, generator):
    start = pixels(Image.open(files / "init.png"))
    made = draw(files, generator=generator, mask=files / "mask.png")
    half = SIDE // 2
    assert abs(made - start)[:, :half].max() < 2
    assert abs(made - start)[:, half + 4 :].mean() > 2


def test_around_a_picture_that_is_kept_the_canvas_is_drawn(files):
    start = pixels(Image.open(files / "init.png"))
    made = draw(files, generator="pixels", outpaint="16,0,8,4", size=None)
    assert made.shape == (SIDE + 4, SIDE + 24, 3)
    assert abs(made[:SIDE, 16 : 16 + SIDE] - start).max() < 2
    # what lies around it began as its mirror image and was drawn over
    beside = abs(made[:SIDE, :14] - start[:, 15:1:-1])
    assert 0 < beside.mean() < 60


def test_what_is_kept_is_told_by_the_content_of_the_mask(files, tmp_path):
    copy = tmp_path / "other name.png"
    copy.write_bytes((files / "mask.png").read_bytes())
    assert config(files, mask=copy).digest() == config(files, mask=files / "mask.png").digest()
    assert config(files, mask=copy).digest() != config(files, mask=files / "black.png").digest()


def test_the_picture_fades_within_what_is_free():
    free = torch.zeros(1, 1, 128, 128)
    free[..., 64:] = 1
    faded = soft(free)
    assert faded[..., :64].max() == 0
    row = faded[0, 0, 60, 64:]
    assert (row.diff() >= 0).all()
    assert row[0] < 0.5 < row[1:3].max()
    assert row[3:].min() == 1


def test_a_line_is_mirrored_for_ever():
    assert mirrored(-4, 7, 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"mask": "mask.png", "init_image": None}, "mask", "name the init image too"),
        ({"outpaint": "8,0,0,0", "init_image": None}, "outpaint", "name the init image too"),
        ({"mask": "mask.png", "outpaint": "8,0,0,0", "size": None}, "mask", "not both"),
        ({"mask": "mask.png", "zoom": 1.1}, "mask", "can't move"),
        ({"mask": "narrow.png"}, "mask", "32x64 pixels, the init image 64x64"),
        ({"mask": "black.png"}, "mask", "keeps the whole picture"),
        ({"mask": "none.png"}, "mask", "there is no mask at"),
        ({"mask": "mask.png", "generator": "collage"}, "generator", "can't keep parts"),
        ({"outpaint": "8,0,0,0", "size": 64}, "size", "has 72x64 pixels; leave the size out"),
        ({"outpaint": "3,0,0,0", "generator": "vqgan/embedded", "size": None}, "size", "multiples"),
        ({"outpaint": "2000,0,0,0", "size": None}, "size", "at most 4 times|makes pictures of"),
    ],
)
def test_what_can_not_be_is_refused_before_any_work(files, settings, field, says):
    given = {"generator": "pixels", **settings}
    given |= {name: files / given[name] for name in ("mask",) if name in given}
    with pytest.raises(GuidegenError, match=says) as caught:
        check([config(files, **given)])
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["8", "8,0,0", "-1,0,0,0", "0,0,0,0", "a,0,0,0"])
def test_margins_are_four_numbers_of_pixels(files, value):
    with pytest.raises(ConfigError, match="outpaint"):
        config(files, outpaint=value)


def test_a_region_needs_a_mask_of_the_pictures_shape(files):
    for name, error, says in (
        ("narrow.png", InputImageError, "another shape than the picture's 64x64"),
        ("black.png", ConfigError, "has no white"),
        ("none.png", InputImageError, "there is no mask"),
    ):
        with pytest.raises(error, match=says) as caught:
            check([config(files, generator="pixels", region=f"a fox={files / name}")])
        assert caught.value.field == "region"
    with pytest.raises(ConfigError, match=r"collage can't draw regions; .* can"):
        check([config(files, generator="collage", region="a fox=left", init_image=None)])

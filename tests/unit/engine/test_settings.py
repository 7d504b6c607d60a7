"""Settings as Python code gives them."""

import typing

import pytest
from PIL import Image

import guidegen
from guidegen.config import RunConfig, make_config
from guidegen.engine.settings import Settings, plain
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    clip = make_tiny_clip(tmp_path_factory.mktemp("clip"))
    return {"generator": "pixels", "size": (32, 32), "steps": 1, "cutouts": 1, "device": "cpu",
            "perceptor": f"local-dir:{clip}"}  # fmt: skip


def test_editors_know_every_setting():
    assert set(Settings.__annotations__) == set(RunConfig.model_fields) - {"prompt"}
    for name in ("optimizer", "distance", "cutout_method", "upscale", "precision"):
        told = typing.get_args(typing.get_type_hints(RunConfig)[name])
        assert typing.get_args(Settings.__annotations__[name]) == told


def test_sizes_shifts_and_pictures_are_given_as_python_has_them():
    photo = Image.new("RGB", (9, 7), (200, 10, 20))
    fields = plain({"size": (768, 512), "shift": (-0.02, 0.5), "init_image": photo,
                    "image_prompt": [photo, "x.png:0.5"]})  # fmt: skip
    config = make_config({"prompt": "a", **fields})
    assert (config.height_width(), config.shift_xy()) == ((512, 768), (-0.02, 0.5))
    with Image.open(config.init_image) as kept:
        assert kept.tobytes() == photo.tobytes()
    assert config.image_prompt == (str(config.init_image), "x.png:0.5")
    # the same picture is the same run
    assert plain({"init_image": photo.copy()})["init_image"] == fields["init_image"]


def test_several_prompts_give_a_list_in_their_order(fast):
    pictures = guidegen.generate(["a b", "c ^ d", "e f"], out=None, **fast)
    assert [picture.config.prompt for picture in pictures] == ["a b", "c ^ d", "e f"]
    assert pictures[0]._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_seed_minus_one_draws_one():
    seeds = {make_config({"prompt": "a", "seed": -1}).seed for _ in range(3)}
    assert len(seeds) == 3
    assert all(0 <= seed < 2**32 for seed in seeds)

"""What is refused before any work, and which setting the error is about."""

import pytest

from guidegen.config import make_config
from guidegen.engine.resolve import batch_key, check, resolve
from guidegen.errors import GuidegenError


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"generator": "collag"}, "generator"),
        ({"generator": "pixels", "option": "x=1"}, "option"),
        ({"perceptor": "embeded"}, "perceptor"),
        ({"size": "4000x100"}, "size"),
        ({"size": "17", "generator": "collage"}, "size"),
        ({"device": "cuda:77"}, "device"),
        ({"generator": "pixels", "init_image": "none.png"}, "init_image"),
        ({"image_prompt": "none.png"}, "image_prompt"),
        ({"loss": "nonsense=1"}, "loss"),
        ({"loss_option": "palette.colours=red,navy"}, "loss_option"),
        ({"loss": "palette=1"}, "loss_option"),
        ({"loss": "tv=1", "loss_option": "tv.size=2"}, "loss_option"),
        ({"generator": "pixels", "zoom": 1.1, "ema": 0.5}, "ema"),
        ({"generator": "collage", "zoom": 1.1}, "generator"),
        ({"cutout_method": "big-sleep", "cutout_noise": 0.1}, "cutout_noise"),
    ],
)
def test_an_error_says_which_setting_it_is_about_and_spells_no_flag(settings, field):
    with pytest.raises(GuidegenError) as caught:
        check([make_config({"prompt": "a", **settings})])
    assert caught.value.field == field
    assert "--" not in str(caught.value)


def test_what_a_picture_has_of_its_own_does_not_part_it_from_others():
    base = {"prompt": "a", "generator": "pixels"}
    key = batch_key(resolve(make_config(base)))
    own = {"prompt": "b", "negative": "c", "noise_prompt": "7", "seed": 9}
    assert batch_key(resolve(make_config({**base, **own}))) == key
    for other in ({"steps": 3}, {"prompt": "a^b"}, {"minutes": 1}, {"negative_weight": 0.1}):
        assert batch_key(resolve(make_config({**base, **other}))) != key

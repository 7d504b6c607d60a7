"""What is refused before any work, and which setting the error is about."""

import pytest
from PIL import Image

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


SEARCH = "it starts from several that are drawn; an init image or run is one"
PICKED = "one start was picked; leave this out"


@pytest.mark.parametrize(
    ("settings", "field", "why"),
    [
        ({"mix": 2, "init_image": True}, "mix", SEARCH),
        ({"evolve": 1, "init_image": True}, "evolve", SEARCH),
        ({"mix": 2, "pick": 1}, "mix", PICKED),
        ({"evolve": 1, "pick": 1}, "evolve", PICKED),
        ({"mix": 2, "evolve": 1}, "mix", "mix starts or let them evolve, not both"),
        ({"mix": 2, "zoom": 1.1}, "mix", "a mixture can't move; leave zoom, shift and rotate out"),
        ({"population": 8}, "population", "it is about generations of CMA-ES; name evolve too"),
        ({"evolve_steps": 2}, "evolve_steps", "it is about generations of CMA-ES; name evolve too"),
        ({"patience": 3}, "patience", "it is a judge's; name one"),
        ({"judge": "embedded"}, "judge",
         "embedded guides already; name a CLIP that does not"),
        ({"pick": 1, "init_image": True}, "pick",
         "a run goes on from a start that was drawn or from an init image or run, not from both"),
        ({"start_from": "collage", "init_image": True}, "start_from",
         "a run starts from an init image or a generator, not from both"),
        ({"device": "tpu"}, "device", "'tpu' is no device; use auto, cpu, cuda, cuda:1 or mps"),
    ],
)  # fmt: skip
def test_settings_that_exclude_each_other_are_told_in_a_line(tmp_path, settings, field, why):
    if "init_image" in settings:
        settings = {**settings, "init_image": tmp_path / "i.png"}
        Image.new("RGB", (16, 16)).save(settings["init_image"])
    with pytest.raises(GuidegenError) as caught:
        check([make_config({"prompt": "a", "generator": "pixels", **settings})])
    assert (caught.value.field, caught.value.parts[-1][1]) == (field, why)

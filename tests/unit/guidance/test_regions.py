"""Regions: each pulls its own part of the picture to its own prompt."""

import pytest
import torch
from PIL import Image

from guidegen.config import make_config
from guidegen.cutouts import CutoutSettings, VqganClipCutouts
from guidegen.engine.resolve import resolve
from guidegen.guidance.regions import region_terms
from guidegen.interfaces import Decoded
from guidegen.prompt.regions import parse_region
from tests.helpers.loops import make_loop, steps_of
from tests.helpers.tiny_clip import make_tiny_clip

RED, BLUE = "0.9,0.1,0.1", "0.1,0.1,0.9"
WORDS = ["0.5,0.5,0.5", "0.4,0.5,0.6"]


def terms(loop, *texts, cutouts=None):
    regions = [parse_region(text, number) for number, text in enumerate(texts, 1)]
    cutouts = cutouts or CutoutSettings(count=8, noise=0.05)
    return region_terms(regions, loop.context, cutouts=cutouts)


def run(*texts, words=WORDS, seeds=(1, 2), **settings):
    loop = make_loop(words, seeds, losses=["clip=0.1"], steps=6, **settings)
    objective = loop.evaluator.objective.and_terms(terms(loop, *texts))
    return loop.but(objective=objective).run()


def redness(image):
    return float((image[0] - image[2]).mean())


def test_each_half_goes_to_its_own_prompt():
    last = run(f"{RED}=left:3", f"{BLUE}=right:3")[-1]
    for image in last.images:
        assert redness(image[..., :12]) > 0.2
        assert redness(image[..., 12:]) < -0.2
    assert {"region-1", "region-2"} <= set(last.losses)


def test_a_box_changes_nothing_outside_of_it():
    loop = make_loop(WORDS, [1, 2])
    (term,) = terms(loop, f"{RED}=0.5,0.5,1,1")
    images = torch.full((2, 3, 24, 24), 0.5, requires_grad=True)
    term.loss.image_loss(Decoded(images, {}, range(2), 0.5)).sum().backward()
    inside = images.grad.abs().sum(1) > 0
    assert inside[:, 12:, 12:].float().mean() > 0.9
    assert not inside[:, :12].any()
    assert not inside[:, :, :12].any()


def test_a_mask_limits_the_gradient_to_what_is_white(tmp_path):
    mask = Image.new("L", (48, 48))
    mask.paste(255, (0, 0, 24, 24))
    mask.paste(255, (12, 24, 24, 36))
    mask.save(tmp_path / "m.png")
    loop = make_loop(WORDS, [1, 2])
    (term,) = terms(loop, f"{RED}={tmp_path / 'm.png'}")
    assert term.loss.box == (0, 0, 0.5, 0.75)
    images = torch.full((2, 3, 24, 24), 0.5, requires_grad=True)
    term.loss.image_loss(Decoded(images, {}, range(2), 0.5)).sum().backward()
    touched = (images.grad.abs().sum((0, 1)) > 0).float()
    assert touched[:12, :12].mean() > 0.9
    assert touched[12:18, :6].sum() == touched[:, 12:].sum() == 0


def test_the_gradient_is_that_of_the_loss():
    loop = make_loop(WORDS, [1, 2])
    (term,) = terms(loop, f"{RED}=left")
    image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))

    def value(picture):
        return term.loss.image_loss(Decoded(picture, {}, range(1), 0.25)).sum()

    leaf = image.clone().requires_grad_()
    value(leaf).backward()
    step = torch.zeros_like(image)
    step[..., :12] = 1e-2
    ahead = float(value(image + step) - value(image - step)) / 2
    assert ahead == pytest.approx(float((leaf.grad * step).sum()), rel=0.05)


def test_neighbours_do_not_matter_and_views_differ_from_step_to_step():
    loop = make_loop(WORDS, [1, 2])
    (both,) = terms(loop, f"{RED}=left")
    (alone,) = terms(make_loop(WORDS[1:], [2]), f"{RED}=left")
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))

    def value(term, pictures, progress):
        return term.loss.image_loss(Decoded(pictures, {}, range(len(pictures)), progress))

    assert torch.allclose(value(both, images, 0.5)[1:], value(alone, images[1:], 0.5), atol=1e-6)
    assert value(both, images, 0.5)[0] == value(both, images, 0.5)[0]
    assert value(both, images, 0.5)[0] != value(both, images, 0.6)[0]


def test_a_region_has_half_as_many_views_of_our_own_kind():
    loop = make_loop(WORDS, [1, 2])
    for cutouts, count in ((CutoutSettings(count=32), 16), (VqganClipCutouts(count=2), 4)):
        (term,) = terms(loop, f"{RED}=left", cutouts=cutouts)
        assert isinstance(term.loss.cutouts, CutoutSettings)
        assert term.loss.cutouts.count == count


def test_a_run_that_goes_on_has_the_same_views(tmp_path):
    clip = make_tiny_clip(tmp_path / "clip")
    resolved = resolve(
        make_config(
            {"prompt": "a cat", "perceptor": f"local-dir:{clip}", "generator": "pixels"}
            | {"size": 32, "steps": 3, "cutouts": 2, "region": ["a dog=left", "a fox=right:2"]}
        )
    )
    steps = steps_of(resolved)
    states, last = {}, None
    for last in steps():
        states[last.index] = last.snapshot()
    again = list(steps(states[2]))[-1]
    assert torch.equal(last.images, again.images)
    assert last.losses["region-2"] == again.losses["region-2"]
    assert last.losses["region-2"] > 0

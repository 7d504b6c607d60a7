"""The cutouts of big-sleep and VQGAN-CLIP."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from guidegen.cutouts import BigSleepCutouts, CutoutSettings, VqganClipCutouts, make_cutouts
from guidegen.cutouts.big_sleep import CropParameters, boxes
from guidegen.cutouts.vqgan_clip import homography, hue_matrix
from guidegen.cutouts.warping import sampling_grid
from guidegen.errors import ConfigError
from guidegen.interfaces import Viewed
from tests.helpers.loops import make_loop

METHODS = {
    "big-sleep": BigSleepCutouts(count=6),
    "vqgan-clip": VqganClipCutouts(count=6),
}


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise_image(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def cropped(image, left, top, side, size):
    """big-sleep's own way: cut one crop out, then resize it."""
    crop = image[:, :, top : top + side, left : left + side]
    return F.interpolate(crop, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize(("length", "size"), [(512, 224), (256, 224), (128, 224), (100, 32)])
def test_big_sleeps_crops_of_every_side_equal_crop_and_nearest_resize(length, size):
    image = noise_image(1, 3, length, length)
    sides = torch.arange(length // 2, int(0.95 * length) + 1)
    drawn = CropParameters(((sides + 0.5) / length)[None], noise_image(1, len(sides), 2))
    left, top, side = boxes(drawn, (length, length))
    assert torch.equal(side[0], sides)
    taken = BigSleepCutouts(count=len(sides)).take(image, drawn, size=size)
    for i in range(len(sides)):
        assert torch.equal(
            taken[i : i + 1], cropped(image, left[0, i], top[0, i], side[0, i], size)
        )


def test_big_sleeps_crops_of_wide_pictures_and_their_gradient():
    image = noise_image(1, 3, 80, 120)
    method = BigSleepCutouts(count=5)
    drawn = method.sample(rngs=rngs(3), size=24, aspect=1.5)
    left, top, side = (part[0].tolist() for part in boxes(drawn, (80, 120)))
    ours, theirs = image.clone().requires_grad_(), image.clone().requires_grad_()
    weights = noise_image(5, 3, 24, 24, seed=1)
    taken = method.take(ours, drawn, size=24)
    crops = [cropped(theirs, *box, 24) for box in zip(left, top, side, strict=True)]
    assert torch.equal(taken, torch.cat(crops))
    (taken * weights).sum().backward()
    (torch.cat(crops) * weights).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)
    assert ours.grad.abs().max() > 0


def test_big_sleeps_crops_are_distributed_as_there():
    drawn = BigSleepCutouts(count=20_000).sample(rngs=rngs(1), size=1)
    left, top, side = boxes(drawn, (512, 512))
    assert (side.min(), side.max()) == (256, 486)
    # of N(.8, .3) 15.9 % lie below .5 and 30.9 % above .95
    assert abs((side == 256).float().mean() - 0.159) < 0.01
    assert abs((side == 486).float().mean() - 0.309) < 0.01
    for place in (left, top):
        assert ((place >= 0) & (place + side <= 512)).all()
        assert {0, 256} <= set(place[side == 256].tolist())
        assert abs((place / (512 - side)).mean() - 0.5) < 0.01


@pytest.mark.parametrize("name", METHODS)
def test_cutouts_do_not_depend_on_neighbours_and_chunks(name):
    method = METHODS[name]
    images = noise_image(3, 3, 40, 40)
    drawn = method.sample(rngs=rngs(7, 8, 9), size=24)
    whole = method.take(images, drawn, size=24)
    assert whole.shape == (18, 3, 24, 24)
    alone = method.take(images[1:2], method.sample(rngs=rngs(8), size=24), size=24)
    torch.testing.assert_close(whole[6:12], alone, atol=1e-5, rtol=0)
    of_row = method.take(images[1:2], drawn.rows(slice(1, 2)), size=24)
    torch.testing.assert_close(of_row, alone, atol=1e-5, rtol=0)
    parts = [method.take(images, drawn, size=24, chunk=slice(i, i + 5)) for i in range(0, 18, 5)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)
    assert torch.equal(method.take(images, drawn, size=24), whole)


def test_vqgan_clips_cutouts_without_augmentations_are_the_pooled_image():
    method = VqganClipCutouts(count=4, chance=0, noise=0)
    image = noise_image(1, 3, 70, 50)
    taken = method.take(image, method.sample(rngs=rngs(0), size=24), size=24)
    pooled = (F.adaptive_avg_pool2d(image, 24) + F.adaptive_max_pool2d(image, 24)) / 2
    assert (taken - pooled).abs().max() < 1e-5


def test_one_homography_is_the_affine_followed_by_the_perspective():
    y, x = torch.meshgrid(torch.linspace(-2, 2, 96), torch.linspace(-2, 2, 96), indexing="ij")
    smooth = (torch.sin(3 * x + y) * torch.exp(-(x**2 + y**2) * 2)).expand(1, 1, 96, 96)
    method = VqganClipCutouts(count=8, chance=1)
    u = noise_image(8, 12, seed=4).double()
    affine, tilt = method._affine(u[:, :4] * 2 - 1), method._tilt(u[:, 4:])

    def warped(images, warp):
        return F.grid_sample(
            images.expand(8, -1, -1, -1), sampling_grid(warp.float(), 96), align_corners=False
        )

    twice = warped(warped(smooth, affine), tilt)
    once = warped(smooth, affine @ tilt)
    assert (once - twice).abs().max() < 0.02
    assert (once - warped(smooth, tilt @ affine)).abs().max() > 0.1


def test_perspective_moves_corners_inwards_and_leaves_black_behind():
    method = VqganClipCutouts(count=64, rotation=0, shear=0, shift=0, jitter=0, noise=0)
    tilt = method._tilt(noise_image(64, 8, seed=2).double())
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]).double()
    there = torch.linalg.inv(tilt) @ corners.T
    there = (there[:, :2] / there[:, 2:]).abs()
    assert there.max() <= 1
    assert 0.3 - 1e-6 <= there.min() < 0.4
    method = replace(method, chance=1.0, erase=(0.0, 0.0))
    white = method.take(torch.ones(1, 3, 32, 32), method.sample(rngs=rngs(1), size=32), size=32)
    assert (white[:, :, 0, 0] == 0).float().mean() > 0.9
    assert (white[:, :, 16, 16] - 1).abs().max() < 1e-5


@pytest.mark.slow
def test_augmentations_happen_as_often_and_as_far_as_there():
    method = VqganClipCutouts(count=3000, perspective=0, noise=0)
    drawn = method.sample(rngs=rngs(1), size=1)
    moved = (drawn.warp[0] - torch.eye(3)).abs().amax((1, 2)) > 1e-6
    assert abs(moved.float().mean() - 0.7) < 0.03
    coloured = (drawn.colour[0] - 1).abs().amax(1) > 0
    assert abs(coloured.float().mean() - 0.7) < 0.03
    assert abs((moved & coloured).float().mean() - 0.49) < 0.03
    assert drawn.colour.min() >= 0.9
    assert drawn.colour.max() <= 1.1
    assert drawn.hue.abs().max() <= 0.1
    middle = torch.linalg.inv(drawn.warp[0].double())[:, :2, 2]
    assert 0.19 < middle.abs().max() <= 0.2 + 1e-6  # a tenth of the side, which is 2 long
    boxes = torch.stack(
        [VqganClipCutouts(count=1).sample(rngs=rngs(i), size=1).erased[0] for i in range(2000)]
    )
    wide, tall = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    erased = wide > 0
    assert abs(erased.float().mean() - 0.7) < 0.04
    area = (wide * tall)[erased]
    assert area.min() > 0.1 - 1e-4
    assert area.max() < 0.4 + 1e-4
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-6
    assert 0.29 < (tall / wide)[erased].min() < 0.35
    assert 2.8 < (tall / wide)[erased].max() < 3.34


def test_the_same_part_is_erased_from_all_cutouts_of_a_candidate():
    still = {"rotation": 0, "shear": 0, "shift": 0, "perspective": 0, "jitter": 0, "noise": 0}
    method = VqganClipCutouts(count=5, chance=1, **still)
    taken = method.take(torch.ones(2, 3, 32, 32), method.sample(rngs=rngs(1, 2), size=32), size=32)
    first, second = taken[:5], taken[5:]
    assert torch.equal(first, first[:1].expand_as(first))
    assert not torch.equal(first[0], second[0])
    for cutout in (first[0], second[0]):
        assert 0.05 < (cutout == 0).float().mean() < 0.45
        assert set(cutout.unique().tolist()) <= {0.0, 1.0}


def test_noise_is_as_strong_as_drawn():
    method = VqganClipCutouts(count=400, chance=0, noise=0.1)
    noise = method.sample(rngs=rngs(5), size=16).noise[0].of(slice(0, 400))
    spread = noise.flatten(1).std(1)
    assert abs(spread.mean() - 0.05) < 0.006
    assert spread.max() < 0.12


def test_hue_turns_about_the_grey_axis():
    turned = hue_matrix(torch.tensor([0.0, 1 / 3, 0.07]))
    assert torch.allclose(turned[0], torch.eye(3), atol=1e-6)
    red, grey = torch.tensor([1.0, 0, 0]), torch.full((3,), 0.4)
    assert torch.allclose(turned[1] @ red, torch.tensor([0.0, 1, 0]), atol=1e-6)
    assert torch.allclose(turned[2] @ grey, grey, atol=1e-6)


def test_a_homography_takes_four_points_to_four_others():
    source, target = noise_image(5, 4, 2, seed=3).double(), noise_image(5, 4, 2, seed=4).double()
    found = homography(source, target)
    points = torch.cat([source, torch.ones(5, 4, 1)], -1) @ found.transpose(1, 2)
    assert torch.allclose(points[..., :2] / points[..., 2:], target, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_the_loops_micro_batches_give_the_whole_gradient(name):
    method = replace(METHODS[name], count=20)

    def evaluator(batch):
        words = ["0.9,0.5,0.1"] * 2
        return make_loop(words, [1, 2], cutouts=method, batch=batch, group=2).evaluator

    grads, losses = [], []
    for batch in (1, 8, 64):
        ours = evaluator(batch)
        start = ours.generator.init(2, rngs=rngs(3, 4))["pixels"].requires_grad_()
        cutouts = ours.sample_cutouts()
        _, found = ours.evaluate({"pixels": start}, cutouts, range(2), backward=True)
        grads.append(start.grad)
        losses.append(found["clip"])
    # and that of one graph through everything
    ours = evaluator(64)
    whole = start.detach().requires_grad_()
    images = ours.generator.decode({"pixels": whole})
    taken = method.take(images, ours.sample_cutouts(), size=ours.perceptors.input_size)
    ((perceptor, weight),) = ours.perceptors
    numbers = [0] * 20 + [1] * 20
    viewed = Viewed(perceptor.encode_image(taken), taken, perceptor, numbers, 0.0)
    loss = ours.objective.view_losses([(viewed, weight)])["clip"]
    (loss.sum() / 20).backward()
    for grad in grads:
        assert torch.allclose(grad, whole.grad, atol=1e-7)
    assert torch.allclose(losses[0], loss.view(2, 20).mean(1), atol=1e-6)
    assert whole.grad.abs().max() > 0


def test_the_config_names_the_method():
    assert make_cutouts("views", count=3, noise=0.2) == CutoutSettings(count=3, noise=0.2)
    assert make_cutouts("big-sleep", count=3, noise=0) == BigSleepCutouts(count=3)
    assert make_cutouts("vqgan-clip", count=3, noise=0.2) == VqganClipCutouts(count=3, noise=0.2)
    with pytest.raises(ConfigError, match="no noise"):
        make_cutouts("big-sleep", count=3, noise=0.1)


@pytest.mark.parametrize("method", ["big-sleep", "vqgan-clip"])
def test_published_cutouts_take_no_settings_of_ours(method):
    for name, value in (("whole", 0.5), ("scale", (0.5, 0.9)), ("shift", 0.1)):
        with pytest.raises(ConfigError, match="as published") as caught:
            make_cutouts(method, count=1, noise=0.0, **{name: value})
        assert caught.value.field == f"cutout_{name}"

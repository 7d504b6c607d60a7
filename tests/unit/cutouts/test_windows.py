"""Large pictures: views of them cost what the views cost, and are the same as of small ones."""

import pytest
import torch

from guidegen.cutouts import CutoutSettings, VqganClipCutouts, noise, views
from guidegen.cutouts.noise import draw_noise, noise_of

WIDE = CutoutSettings(count=6, overview=0.4, shift=0.1, scale=(0.15, 0.9), noise=0)


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_a_window_shows_what_the_whole_picture_shows(monkeypatch):
    picture = torch.rand(2, 3, 70, 90, generator=rngs(0)[0])
    weights = torch.rand(12, 3, 16, 16, generator=rngs(1)[0])

    def taken(whole):
        monkeypatch.setattr(views, "_WHOLE", whole)
        leaf = picture.clone().requires_grad_()
        parameters = WIDE.sample(rngs=rngs(3, 4), size=16, aspect=90 / 70)
        seen = WIDE.take(leaf, parameters, size=16)
        (seen * weights).sum().backward()
        return seen, leaf.grad

    (plain, plain_grad), (windows, windows_grad) = taken(10**9), taken(0)
    assert torch.allclose(windows, plain, atol=2e-5)
    assert torch.allclose(windows_grad, plain_grad, atol=2e-4)


def test_the_gradient_at_a_large_picture_has_no_blocks():
    whole = CutoutSettings(count=1, overview=1, rotation=0, perspective=0, jitter=0, noise=0)
    weights = torch.rand(1, 3, 16, 16, generator=rngs(1)[0])

    def largest_jump(side):
        picture = torch.zeros(1, 3, side, side, requires_grad=True)
        seen = whole.take(picture, whole.sample(rngs=rngs(2), size=16), size=16)
        (seen * weights).sum().backward()
        return picture.grad.diff().abs().max() / picture.grad.abs().max()

    # a block is 34 pixels wide, so a smooth change is of about a thirtieth from one to the next
    assert largest_jump(544) < 0.1 < largest_jump(512)


def test_halves_of_odd_sides_are_rounded_up_and_keep_their_place():
    ramp = torch.linspace(0, 1, 37).expand(1, 3, 21, 37)
    for smoothly in (False, True):
        small = views.halved(ramp, smoothly=smoothly)
        assert small.shape == (1, 3, 11, 19)
        assert torch.allclose(small[0, 0, 5, 2:17], ramp[0, 0, 5, 4:35].unfold(0, 2, 2).mean(1))


@pytest.mark.parametrize("size", [8, 7])
def test_noise_that_is_not_kept_is_the_same_every_time(monkeypatch, size):
    deviation = torch.tensor([0.1, 0.0, 0.3])
    monkeypatch.setattr(noise, "_KEPT", 0)
    rng = rngs(5)[0]
    again = draw_noise(deviation, size, rng)
    assert again.kept is None
    assert torch.equal(again.of(slice(0, 3))[1:], again.of(slice(1, 3)))
    if size % 4 == 0:  # then it is also that of few views
        monkeypatch.undo()
        other = rngs(5)[0]
        assert torch.equal(
            draw_noise(deviation, size, other).of(slice(0, 3)), again.of(slice(0, 3))
        )
        assert torch.equal(other.get_state(), rng.get_state())


def test_noise_of_a_chunk_is_that_of_its_candidates(monkeypatch):
    monkeypatch.setattr(noise, "_KEPT", 0)
    noises = [draw_noise(torch.ones(4), 4, rng) for rng in rngs(1, 2, 3)]
    whole = torch.cat([one.of(slice(0, 4)) for one in noises])
    assert torch.equal(noise_of(noises, slice(2, 9)), whole[2:9])
    assert torch.equal(noise_of(noises, slice(8, 16)), whole[8:])


def test_both_methods_add_noise_that_is_not_kept(monkeypatch):
    for method in (CutoutSettings(count=3, noise=0.2), VqganClipCutouts(count=3, noise=0.2)):
        image = torch.rand(1, 3, 40, 40, generator=rngs(0)[0])
        kept = method.take(image, method.sample(rngs=rngs(7), size=16), size=16)
        with monkeypatch.context() as patch:
            patch.setattr(noise, "_KEPT", 0)
            drawn = method.take(image, method.sample(rngs=rngs(7), size=16), size=16)
        assert torch.equal(kept, drawn)

import torch
from torch.autograd import gradcheck

from guidegen.cutouts import CutoutSettings, sample_views, take_views

STILL = CutoutSettings(count=1, overview=1, rotation=0, perspective=0, jitter=0, noise=0)


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def ramp(height, width):
    x = torch.linspace(0, 1, width).expand(1, 3, height, width)
    return x.contiguous()


def test_an_overview_without_jitter_is_the_image_or_its_mirror():
    image = ramp(32, 32)
    for seed in range(8):
        view = take_views(image, sample_views(STILL, rngs=rngs(seed), size=32), size=32)
        assert min((view - image).abs().max(), (view.flip(-1) - image).abs().max()) < 1e-5


def test_large_views_are_antialiased():
    # a checkerboard of single pixels is grey from afar; plain bilinear sampling would alias
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    board = ((x + y) % 2).float().expand(1, 3, 128, 128)
    settings = CutoutSettings(count=8, overview=1, jitter=0, noise=0)
    view = take_views(board, sample_views(settings, rngs=rngs(0), size=32), size=32)
    assert (view - 0.5).abs().max() < 0.02


def test_crop_sides_stay_in_their_range():
    settings = CutoutSettings(count=2000, overview=0, scale=(0.3, 0.6))
    shrink = sample_views(settings, rngs=rngs(1), size=8).shrink
    assert shrink.min() >= 0.3
    assert shrink.max() <= 0.6
    assert shrink.max() - shrink.min() > 0.19


def test_crops_lie_inside_the_image_and_reach_its_corners():
    settings = CutoutSettings(
        count=4000, overview=0, scale=(0.5, 0.5), rotation=0, perspective=0, noise=0
    )
    warp = sample_views(settings, rngs=rngs(2), size=8, aspect=2.0).warp[0]
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]])
    points = (warp @ corners.T)[:, :2]
    assert points.abs().max() <= 1 + 1e-5
    assert points.amax((0, 2)).min() > 0.99
    # a crop is square in pixels: half as wide in the coordinates of an image twice as wide
    width, height = (points.amax(2) - points.amin(2)).mean(0)
    assert torch.isclose(height / width, torch.tensor(2.0))


def test_views_of_a_candidate_do_not_depend_on_its_neighbours():
    settings = CutoutSettings(count=5)
    images = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(3))
    together = take_views(images, sample_views(settings, rngs=rngs(7, 8, 9), size=24), size=24)
    alone = take_views(images[1:2], sample_views(settings, rngs=rngs(8), size=24), size=24)
    torch.testing.assert_close(together[5:10], alone, atol=1e-5, rtol=0)


def test_chunks_are_the_whole():
    settings = CutoutSettings(count=6, scale=(0.2, 1.0))
    images = torch.rand(2, 3, 90, 90, generator=torch.Generator().manual_seed(4))
    views = sample_views(settings, rngs=rngs(1, 2), size=16)
    whole = take_views(images, views, size=16)
    parts = [take_views(images, views, size=16, chunk=slice(i, i + 5)) for i in range(0, 12, 5)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_views_are_differentiable():
    settings = CutoutSettings(count=3, noise=0.1, scale=(0.3, 1))
    views = sample_views(settings, rngs=rngs(5), size=4)
    double = type(views)(
        *(v.double() for v in (views.warp, views.shrink, views.colour)), views.noise
    )
    image = torch.rand(1, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    # the sampling grid is built in float32's steps of 1/size, exact here
    torch.set_default_dtype(torch.float64)
    try:
        assert gradcheck(lambda x: take_views(x, double, size=4), image)
    finally:
        torch.set_default_dtype(torch.float32)


def test_shifted_overviews_lie_about_the_middle_and_reach_beyond_the_edge():
    settings = CutoutSettings(
        count=4000, overview=1, shift=0.1, rotation=0, perspective=0, jitter=0, noise=0
    )
    drawn = sample_views(settings, rngs=rngs(5), size=8, aspect=1.5)
    assert 0.933 <= drawn.shrink.min() < 0.94
    assert 1.19 < drawn.shrink.max() <= 1.2
    middle = drawn.warp[0, :, :2, 2]
    assert middle.abs().max() <= 0.2
    assert middle.amin(0).max() < -0.19
    assert middle.amax(0).min() > 0.19


def test_the_share_of_overviews_is_rounded_up():
    for count, share, overviews in ((6, 0.66, 4), (3, 0.1, 1), (4, 0, 0)):
        settings = CutoutSettings(count=count, overview=share, scale=(0.5, 0.6))
        shrink = sample_views(settings, rngs=rngs(0), size=8).shrink[0]
        assert (shrink == 1).sum() == overviews

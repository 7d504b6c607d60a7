"""The pyramid: layers of every scale that add up to the picture."""

import pytest
import torch
import torch.nn.functional as F

from generators.pyramid import layer_sides
from guidegen.registry import backends


def pyramid(size=(32, 48), **options):
    backend = backends()["pyramid"]
    values = backend.info("").read_options([f"{k}={v}" for k, v in options.items()])
    return backend.load("", size=size, device="cpu", options=values)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_octaves_double_up_to_the_shorter_side():
    assert layer_sides(64, "octaves") == [1, 2, 4, 8, 16, 32, 64]
    assert layer_sides(96, "octaves") == [1, 2, 3, 6, 12, 24, 48, 96]
    assert layer_sides(5, "all") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("scales", ["octaves", "all"])
@pytest.mark.parametrize("size", [(32, 32), (33, 50), (50, 33)])
def test_encoding_any_picture_comes_back_to_it(scales, size):
    picture = torch.rand(2, 3, *size, generator=rng()) * 0.98 + 0.01
    generator = pyramid(size, scales=scales, detail=0.05)
    assert (generator.decode(generator.encode(picture)) - picture).abs().max() < 1e-4


def test_coarse_layers_are_enlarged_as_fine_ones_are():
    generator = pyramid((96, 130))
    for side in (1, 6, 12, 24):
        layer = torch.rand(2, 3, *generator.grids[side], generator=rng())
        wanted = F.interpolate(layer, (96, 130), mode="bicubic")
        assert torch.allclose(generator._enlarged(layer), wanted, atol=1e-5)


def test_black_and_white_come_back_within_a_level_of_a_screen():
    generator = pyramid()
    ends = torch.tensor([0.0, 1.0]).repeat(24).expand(1, 3, 32, 48)
    assert (generator.decode(generator.encode(ends)) - ends).abs().max() < 0.005


def test_a_picture_keeps_its_colours_where_saturation_is_low():
    picture = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, 32, 48)
    generator = pyramid(saturation=0)
    assert (generator.decode(generator.encode(picture)) - picture).abs().max() < 1e-3


def test_one_step_of_a_coarse_layer_moves_the_picture_more_than_one_of_the_finest():
    generator = pyramid(detail=0.1)
    start = generator.init(1, rngs=[rng()])
    before = generator.decode(start)

    def change(name):
        moved = {**start, name: start[name] + 0.05}
        return (generator.decode(moved) - before).abs().mean()

    assert change("layer-32") == pytest.approx(0.1 * float(change("layer-1")), rel=0.1)


def test_saturation_decides_how_far_a_step_changes_colours():
    def chroma(saturation):
        generator = pyramid(saturation=saturation)
        latents = generator.init(1, rngs=[rng()])
        latents["layer-1"][:, 1] += 1
        pixel = generator.decode(latents).mean((0, 2, 3))
        return pixel.max() - pixel.min()

    assert chroma(2) > 1.5 * chroma(1) > 2 * chroma(0.2)


def test_paper_is_nearly_white_and_noise_is_not():
    paper = pyramid(start="paper")
    noise = pyramid(start="noise")
    white = paper.decode(paper.init(1, rngs=[rng()]))
    rough = noise.decode(noise.init(1, rngs=[rng()]))
    assert white.min() > 0.6
    assert white.std() < 0.05 < rough.std()
    assert 0.35 < rough.mean() < 0.65


def test_smooth_layers_cost_less_than_rough_ones():
    generator = pyramid()
    calm = generator.prior(generator.init(1, rngs=[rng()]))
    rough = generator.prior(generator.encode(torch.rand(1, 3, 32, 48, generator=rng())))
    assert 0 <= calm < 0.1 * rough


def test_a_few_steps_of_descent_come_near_a_target_picture():
    generator = pyramid(size=(32, 32))
    target = torch.zeros(1, 3, 32, 32)
    target[:, 0, 8:24, 8:24] = 1
    latents = {k: v.requires_grad_() for k, v in generator.init(1, rngs=[rng()]).items()}
    optimizer = torch.optim.Adam(latents.values(), lr=0.1)
    losses = []
    for _ in range(60):
        loss = (generator.decode(latents) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]

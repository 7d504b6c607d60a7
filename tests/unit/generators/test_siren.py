"""A network of the coordinates."""

import torch

from generators import SIREN


def siren(size=(32, 32), **options):
    values = SIREN.variants[""].read_options([f"{k}={v}" for k, v in options.items()])
    return SIREN.load("", size=size, device="cpu", options=values)


def start(generator, seed=0):
    return generator.init(1, rngs=[torch.Generator().manual_seed(seed)])


def test_it_is_the_same_function_at_any_size():
    generator = siren(detail=2.0)
    small, large = (generator.decode(start(generator), size=(side, side)) for side in (32, 96))
    # the middle of a small pixel is that of a ninth of large ones
    assert torch.allclose(small, large[..., 1::3, 1::3], atol=1e-4)


def test_a_layer_is_a_sine_of_the_sums_of_the_one_before():
    generator = siren(depth=1, width=8)
    latents = start(generator)
    place = torch.tensor([2 * 3.5 / 32 - 1, 2 * 20.5 / 32 - 1])  # row 3, column 20
    first = generator.spreads[0] * latents["weight-0"][0]
    hidden = torch.sin(place @ first + latents["bias-0"][0])
    out = hidden @ (generator.spreads[1] * latents["weight-1"][0]) + latents["bias-1"][0]
    wanted = torch.sigmoid(2.0 * generator.colours @ out)
    assert torch.allclose(generator.decode(latents)[0, :, 3, 20], wanted, atol=1e-5)


def test_parts_of_a_large_picture_are_the_picture(monkeypatch):
    def drawn(most):
        monkeypatch.setattr("generators.siren._MOST_KEPT", most)
        monkeypatch.setattr("generators.siren._PART", most)
        generator = siren(size=(33, 40), width=8)
        latents = {name: value.requires_grad_() for name, value in start(generator).items()}
        image = generator.decode(latents)
        (image * torch.linspace(0, 1, 40)).sum().backward()
        return [image, *(value.grad for value in latents.values())]

    for whole, parts in zip(drawn(10**9), drawn(10_000), strict=True):
        assert torch.allclose(whole, parts, atol=1e-4, rtol=1e-4)


def test_signals_neither_fade_nor_grow_with_depth():
    for depth in (1, 4, 12):
        generator = siren(depth=depth)
        image = generator.decode(start(generator))
        assert 0.1 < image.std() < 0.45


def test_more_detail_is_more_waves():
    def roughness(detail):
        generator = siren(detail=detail)
        return float(generator.decode(start(generator)).diff(dim=-1).abs().mean())

    assert roughness(1.0) < 0.5 * roughness(8.0)


def test_it_learns_a_picture():
    generator = siren(width=32, depth=2)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    disc = ((x - 16).square() + (y - 16).square() < 64).float().expand(1, 3, 32, 32)
    latents = {name: value.requires_grad_() for name, value in start(generator).items()}
    optimizer = torch.optim.Adam(latents.values(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        loss = (generator.decode(latents) - disc).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.03

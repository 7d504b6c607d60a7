"""What every Perceptor must do."""

import pytest
import torch

from guidegen.clip.perceptor import load_perceptor
from guidegen.errors import WeightsError
from guidegen.interfaces import Perceptor
from guidegen.weights.store import embedded
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module", params=["tiny", "embedded"])
def perceptor(request, tmp_path_factory):
    if request.param == "tiny":
        folder = make_tiny_clip(tmp_path_factory.mktemp("tiny"))
        return load_perceptor(f"local-dir:{folder}", device="cpu", precision="fp32")
    try:
        embedded("clip")
    except WeightsError:
        pytest.skip("the embedded CLIP is not in this checkout")
    return load_perceptor("embedded", device="cpu", precision="auto")


def test_protocol(perceptor):
    assert isinstance(perceptor, Perceptor)
    assert len(perceptor.digest) == 64
    assert perceptor.input_size > 0


def test_unit_norm_float32(perceptor):
    text = perceptor.encode_text(["a red apple", "a dog", "a red apple"])
    image = perceptor.encode_image(torch.rand(2, 3, perceptor.input_size, perceptor.input_size))
    for features, rows in ((text, 3), (image, 2)):
        assert features.dtype == torch.float32
        assert len(features) == rows
        torch.testing.assert_close(features.norm(dim=1), torch.ones(rows))
    assert text.shape[1] == image.shape[1]
    assert torch.equal(text[0], text[2])
    assert not torch.allclose(text[0], text[1], atol=1e-3)
    assert not text.requires_grad


def test_text_does_not_depend_on_company(perceptor):
    alone = perceptor.encode_text(["a blue cup"])
    again = perceptor.encode_text(["a tree", "a blue cup", "seven swans a-swimming"])
    assert torch.equal(alone[0], again[1])


def test_gradient_reaches_the_image_and_no_weight(perceptor):
    images = torch.rand(2, 3, perceptor.input_size, perceptor.input_size, requires_grad=True)
    target = perceptor.encode_text(["a red apple"])
    (perceptor.encode_image(images)[0] @ target[0]).backward()
    assert images.grad[0].abs().sum() > 0
    assert torch.equal(images.grad[1], torch.zeros_like(images.grad[1]))


@pytest.mark.parametrize("shape", [(24, 24), (100, 100), (40, 64)])
def test_any_size(perceptor, shape):
    images = torch.rand(1, 3, *shape)
    assert torch.isfinite(perceptor.encode_image(images)).all()
    for _ in range(2):
        assert torch.equal(perceptor.encode_image(images), perceptor.encode_image(images))


def test_features_and_gradients_do_not_depend_on_the_company_but_for_rounding(perceptor):
    side = perceptor.input_size
    images = torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(4))
    target = perceptor.encode_text(["a red apple"])[0]

    def look(part):
        part = part.clone().requires_grad_()
        features = perceptor.encode_image(part)
        (features @ target).sum().backward()
        return features.detach(), part.grad

    features, grads = look(images)
    for rows in (slice(0, 1), slice(1, 5)):
        found, grad = look(images[rows])
        half = getattr(perceptor, "precision", torch.float32) != torch.float32
        assert (found - features[rows]).abs().max() < (0.02 if half else 1e-5)
        apart = (grad - grads[rows]).norm() / grads[rows].norm()
        assert apart < (0.2 if half else 1e-3)

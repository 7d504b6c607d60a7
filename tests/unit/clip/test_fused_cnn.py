import pytest
import torch
from torch.nn import functional as F

from guidegen.clip.fused_cnn import _DepthwiseConv

# left, right, top, bottom: none, "same" as TensorFlow means it, symmetric, odd ones
AROUND = [(0, 0, 0, 0), (0, 1, 0, 1), (1, 2, 1, 2), (1, 1, 1, 1), (2, 2, 1, 3)]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_depthwise_convolutions_gradient_is_pytorchs_own(kernel, stride, around):
    rng = torch.Generator().manual_seed(0)
    for height, width in ((9, 11), (16, 7)):
        x = torch.randn(2, 4, height, width, generator=rng, dtype=torch.double)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = torch.randn(4, 1, kernel, kernel, generator=rng, dtype=torch.double)
        bias = torch.randn(4, generator=rng, dtype=torch.double)
        wanted = F.conv2d(F.pad(x, around), weight, bias, stride, 0, 1, 4)
        flipped = weight.flip(2, 3).contiguous()
        found = _DepthwiseConv.apply(x, weight, flipped, bias, stride, around)
        torch.testing.assert_close(found, wanted)
        grad = torch.randn(wanted.shape, generator=rng, dtype=torch.double)
        (of_wanted,) = torch.autograd.grad(wanted, x, grad)
        (of_found,) = torch.autograd.grad(found, x, grad)
        torch.testing.assert_close(of_found, of_wanted)

"""Small differentiable helpers shared by the loop and the backends."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _ClampWithGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.low, ctx.high = low, high
        ctx.save_for_backward(x)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        (grad,) = grads
        (x,) = ctx.saved_tensors
        # a descent step moves x against grad: keep the gradient wherever that leads back inside
        outward = grad * (x - x.clamp(ctx.low, ctx.high)) < 0
        return grad * ~outward, None, None


def clamp_with_grad(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Clamp whose gradient passes inside the range, and outside where descent leads back in.

    A plain clamp stops the gradient of every value that left the range, so it never comes back.

    Shape:
        x: any; the result has the same.

    Source: K. Crowson's VQGAN+CLIP notebook (2021), `ClampWithGrad`.
    """
    out: Tensor = _ClampWithGrad.apply(x, low, high)
    return out


def straight_through(value: Tensor, gradient: Tensor) -> Tensor:
    """`value` forward, the gradient of `gradient` backward.

    Source: Bengio, Léonard & Courville 2013 (arXiv:1308.3432).
    """
    return value.detach() + (gradient - gradient.detach())


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """`x` forward, its gradient times a factor backward."""
    out: Tensor = _ScaleGradient.apply(x, factor)
    return out


class _KnownGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[None, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, column(grads[0], gradient) * gradient, None


def known_gradient(loss: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
    """`loss` forward; backward a gradient at `x` that was computed before.

    Shape:
        loss: [B]; x and gradient [B, ...]: that of each row's own loss.
    """
    out: Tensor = _KnownGradient.apply(loss, x, gradient)
    return out


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures [B, 3, H, W] in [0, 1] at another (height, width), bicubic with antialiasing."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)


# Principal axes of natural images' colours: lightness, blue-orange, green-magenta (Ohta et al.
# 1980, "Color information for region segmentation"), orthonormal; one column each.
_COLOUR_AXES = (
    (3.0**-0.5, 2.0**-0.5, 6.0**-0.5),
    (3.0**-0.5, 0.0, -2.0 * 6.0**-0.5),
    (3.0**-0.5, -(2.0**-0.5), 6.0**-0.5),
)


def decorrelated_colours(scales: tuple[float, float, float]) -> Tensor:
    """The matrix [3, 3] from planes of lightness, blue-orange and green-magenta to RGB.

    Optimised in such planes a picture keeps natural colours; in RGB the channels part.

    Args:
        scales: factor of each plane. Natural images' deviations are about 1, .35 and .2.

    Source: Olah et al. 2017, "Feature Visualization" (doi:10.23915/distill.00007), section
    "Preconditioning and Parameterization".
    """
    return torch.tensor(_COLOUR_AXES) * torch.tensor(scales)


def to_bytes(image: Tensor) -> Tensor:
    """A picture [3, H, W] in [0, 1] as bytes [H, W, 3], rounded to the nearest level."""
    return image.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()


def floating(latents: dict[str, Tensor]) -> dict[str, Tensor]:
    """The latents that gradients reach; integer ones are choices."""
    return {name: value for name, value in latents.items() if value.is_floating_point()}


def column(values: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, ...] with as many dimensions as `like`."""
    return values.view((-1,) + (1,) * (like.dim() - 1))


def rows(latents: dict[str, Tensor], index: slice | Tensor) -> dict[str, Tensor]:
    """Some candidates' rows of every latent."""
    return {name: value[index] for name, value in latents.items()}


def joined(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One batch of several, in their order: the inverse of `rows`."""
    return {name: torch.cat([one[name] for one in batches]) for name in batches[0]}

"""A loss for guidegen: dark pictures. Torch-free; the loss itself is in `guidegen_dark.loss`."""

from guidegen.backend import LossInfo

DARK = LossInfo(name="dark", summary="lightness; makes nights", target="guidegen_dark.loss:build")

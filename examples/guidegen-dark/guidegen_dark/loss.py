"""How light a picture is."""

from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.interfaces import Decoded, LossContext


class Dark:
    """The mean luminance of each picture (Rec. 709), 0 to 1."""

    def image_loss(self, decoded: Decoded) -> Tensor:
        """Loss [G] of images [G, 3, H, W]."""
        weights = decoded.images.new_tensor([0.2126, 0.7152, 0.0722])
        return decoded.images.mean((2, 3)) @ weights


def build(info: LossInfo, context: LossContext) -> Dark:
    """What the card's target names; called once for every batch of pictures."""
    return Dark()

"""The picture."""

from collections.abc import Callable

from PIL import Image
from torch import Tensor

from guidegen.interfaces import Step


def to_pil(image: Tensor) -> Image.Image:
    """A picture [3, H, W] in [0, 1] as 8-bit RGB, rounded to the nearest level."""
    levels = image.detach().clamp(0, 1).mul(255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().contiguous().numpy(), "RGB")


class LastImage:
    """Hands on the picture of the last step that it saw, when it is closed.

    Args:
        save: takes the picture; writes it to a file, say.
        row: which candidate.
    """

    def __init__(self, save: Callable[[Image.Image], object], *, row: int = 0) -> None:
        self.save = save
        self.row = row
        self._last: Tensor | None = None

    def __call__(self, step: Step) -> None:
        """Keep this picture in place of the one before."""
        self._last = step.images[self.row]

    def close(self) -> None:
        """Hand on the picture, if there was any step."""
        last, self._last = self._last, None
        if last is not None:
            self.save(to_pil(last))

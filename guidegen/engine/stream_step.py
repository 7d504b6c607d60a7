"""What a consumer of a run sees of one candidate at one step."""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from guidegen.config import ResolvedConfig
from guidegen.engine.build import Guidance
from guidegen.engine.picture import similarities
from guidegen.interfaces import Step
from guidegen.media.images import preview


@dataclass(frozen=True)
class StreamStep:
    """One candidate at one step of its run. What costs time is computed when it is asked for.

    It stays valid after the run went on; while it is kept, so are the latents and pictures of its
    batch at this step.

    Attributes:
        candidate: which picture of the call this is, from 0.
        index: 0 is the start, `total` the last.
        total: steps of the run.
        config: the candidate's settings with every default filled in.
        folder: its run directory; None if nothing is written.
    """

    candidate: int
    index: int
    total: int
    config: ResolvedConfig
    folder: Path | None
    _step: Step = field(repr=False)
    _guidance: Guidance = field(repr=False)
    _row: int = field(repr=False)

    @property
    def losses(self) -> dict[str, float]:
        """Name -> value; "total" is their weighted sum. Waits for the device."""
        return {name: float(value[self._row]) for name, value in self._step.losses.items()}

    @property
    def loss(self) -> float:
        """The total loss. Waits for the device."""
        return float(self._step.losses["total"][self._row])

    @property
    def similarity(self) -> float:
        """Cosine of the whole picture and the prompt, -1 to 1, the mean of all CLIPs.

        Costs a pass through each CLIP's image tower.
        """
        images = self._step.images[self._row : self._row + 1]
        found = similarities(self._guidance, images, self._row)
        return sum(found.values()) / len(found)

    def preview(self, size: int = 256) -> Image.Image:
        """The picture with its longer side at most `size` pixels; it is never enlarged.

        It was decoded for this step anyway; this costs scaling it and bringing it to the CPU.
        """
        return preview(self._step.images[self._row], size)

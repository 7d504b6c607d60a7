"""Settings in which no default is missing."""

from guidegen.config.picture import PictureConfig
from guidegen.config.run import RunConfig
from guidegen.config.settings import RunSettings
from guidegen.config.values import height_width


class ResolvedSettings(RunSettings):
    """Shared settings in which no default is missing."""

    steps: int
    cutouts: int
    cutout_noise: float
    starts: int
    size: str
    lr: float

    def height_width(self) -> tuple[int, int]:
        """The size as (height, width) in pixels."""
        return height_width(self.size)


class ResolvedConfig(ResolvedSettings, RunConfig, defer_build=True):
    """What is really used for one picture; written flat, as the RunConfig that reads it back."""

    @property
    def picture(self) -> PictureConfig:
        """What the picture has of its own."""
        return PictureConfig(**{name: getattr(self, name) for name in PictureConfig.model_fields})

    @property
    def settings(self) -> ResolvedSettings:
        """What it shares with others that advance with it."""
        names = ResolvedSettings.model_fields
        return ResolvedSettings(**{name: getattr(self, name) for name in names})

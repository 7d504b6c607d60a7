"""RunConfig: one model for flags, TOML keys, API arguments, image metadata and job records.

Torch-free: everything here is read before any work starts.
"""

from guidegen.config.make import DRAW, make_config, make_configs
from guidegen.config.picture import MAX_STARTS, PictureConfig
from guidegen.config.resolved import ResolvedConfig, ResolvedSettings
from guidegen.config.run import NOT_PIXELS, RunConfig
from guidegen.config.settings import MAX_SIDE, RunSettings, UpscaleFactor
from guidegen.config.toml import read_toml, to_toml
from guidegen.prompt.references import MAX_SEED

__all__ = [
    "DRAW", "MAX_SEED", "MAX_SIDE", "MAX_STARTS", "NOT_PIXELS", "PictureConfig", "ResolvedConfig",
    "ResolvedSettings", "RunConfig", "RunSettings", "UpscaleFactor", "make_config", "make_configs",
    "read_toml", "to_toml",
]  # fmt: skip

"""RunConfig: one model for flags, TOML keys, API arguments, image metadata and job records.

Torch-free: everything here is read before any work starts.
"""

from guidegen.config.settings import (
    DRAW,
    MAX_SEED,
    MAX_SIDE,
    NOT_PIXELS,
    PictureConfig,
    ResolvedConfig,
    ResolvedSettings,
    RunConfig,
    RunSettings,
    UpscaleFactor,
    make_config,
    make_configs,
    read_toml,
    to_toml,
)  # fmt: skip

__all__ = [
    "DRAW", "MAX_SEED", "MAX_SIDE", "NOT_PIXELS", "PictureConfig", "ResolvedConfig",
    "ResolvedSettings", "RunConfig", "RunSettings", "UpscaleFactor", "make_config", "make_configs",
    "read_toml", "to_toml",
]  # fmt: skip

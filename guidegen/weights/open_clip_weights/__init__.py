"""Loading of open_clip models, strictly.

open_clip only warns where a result would be wrong (random weights, the wrong activation, resized
position embeddings); here all of these are errors.
"""

from guidegen.weights.open_clip_weights.folder import read_config, square_side
from guidegen.weights.open_clip_weights.load import (
    fetch_hub,
    fetch_zoo,
    load_folder,
    load_hub,
    load_zoo,
)  # fmt: skip
from guidegen.weights.open_clip_weights.specs import (
    EMBEDDED,
    HUB,
    IMAGE_TOWER,
    LOCAL,
    check_here,
    embedded_variants,
    local_folder,
    needs_quick_gelu,
    split_zoo_name,
)  # fmt: skip

__all__ = [
    "EMBEDDED", "HUB", "IMAGE_TOWER", "LOCAL", "check_here", "embedded_variants", "fetch_hub",
    "fetch_zoo", "load_folder", "load_hub", "load_zoo", "local_folder", "needs_quick_gelu",
    "read_config", "split_zoo_name", "square_side",
]  # fmt: skip

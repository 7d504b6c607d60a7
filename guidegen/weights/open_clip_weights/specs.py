"""What a perceptor's name means, and whether its weights are here."""

import logging
import os
from pathlib import Path

from guidegen.errors import UnknownNameError
from guidegen.weights.catalog import Source, read_registry
from guidegen.weights.download import in_hub_cache
from guidegen.weights.hub import require_hub
from guidegen.weights.open_clip_weights.folder import weights_file
from guidegen.weights.open_clip_weights.quiet import import_open_clip
from guidegen.weights.store import embedded

EMBEDDED, LOCAL, HUB = "embedded", "local-dir:", "hf-hub:"
IMAGE_TOWER = "image_tower.safetensors"

log = logging.getLogger(__name__)


def local_folder(spec: str) -> Path | None:
    """Folder of a local model; None for a spec of the zoo or the hub."""
    name, _, variant = spec.partition("/")
    if name == EMBEDDED:
        known = embedded_variants()
        if variant not in known:
            specs = [f"{EMBEDDED}/{v}" if v else EMBEDDED for v in known]
            raise UnknownNameError.of("perceptor", spec, specs)
        return embedded(variant or "clip")
    return Path(spec.removeprefix(LOCAL)).expanduser() if spec.startswith(LOCAL) else None


def embedded_variants() -> list[str]:
    """What may follow "embedded/": folders of image towers; "" is the embedded CLIP itself."""
    folders = embedded("clip").parent.glob(f"*/{IMAGE_TOWER}")
    return ["", *sorted(path.parent.name for path in folders)]


def split_zoo_name(spec: str) -> tuple[str, str]:
    """NAME/TAG as open_clip knows it."""
    open_clip = import_open_clip()
    name, _, tag = spec.rpartition("/")
    if not open_clip.get_pretrained_cfg(name, tag):
        known = [f"{name}/{tag}" for name, tag in open_clip.list_pretrained()]
        raise UnknownNameError.of(
            "perceptor", spec, [*known, "embedded"], hint="(or local-dir:FOLDER, hf-hub:ORG/NAME)"
        )
    return name, tag


def check_here(spec: str) -> None:
    """Refuse a perceptor whose weights can be neither loaded nor fetched; say what will be fetched.

    Raises:
        WeightsError: a folder without weights, or nothing in the cache and no connection.
    """
    folder = local_folder(spec)
    if folder is not None:
        if not any(folder.glob("*.safetensors")):
            weights_file(folder)  # says what is wrong
        return
    if not _cached(spec):
        require_hub(f"the perceptor {spec}")
        log.warning(
            "the weights of %s are not here yet; they are fetched once and kept (%s)",
            spec, _size_of(spec),
        )  # fmt: skip


def _cached(spec: str) -> bool:
    """Whether open_clip would find the weights of a zoo or hub model without a connection."""
    if spec.startswith(HUB):
        repository, file = spec.removeprefix(HUB).partition("@")[0], ""
    else:
        card = import_open_clip().get_pretrained_cfg(*split_zoo_name(spec))
        repository, file = os.path.split(card.get("hf_hub", ""))
        if not repository:
            folder = Path("~/.cache/clip").expanduser()  # open_clip's own, of plain URLs
            return (folder / os.path.basename(str(card.get("url", "")))).is_file()
    return in_hub_cache(Source(hub=repository, path=file or "open_clip*model.*")) is not None


def _size_of(spec: str) -> str:
    known = read_registry().checkpoints.get(spec)
    return known.size_text if known else "some hundred MB"


def needs_quick_gelu(name: str, tag: str) -> bool:
    """Whether the weights of a zoo model were trained with QuickGELU.

    The zoo's architectures say plain GELU where the weights want the other (open_clip issue #771).
    """
    return bool(import_open_clip().get_pretrained_cfg(name, tag).get("quick_gelu", False))

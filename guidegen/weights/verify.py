"""Whether the models that are here are what they were. Torch-free."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from guidegen.errors import UnknownNameError, WeightsError
from guidegen.weights.catalog import CLIP, Checkpoint, Registry
from guidegen.weights.digests import LOCK, recorded
from guidegen.weights.download import in_hub_cache
from guidegen.weights.store import (
    SOURCE,
    embedded,
    find_stored,
    folder_digest,
    installed,
    sha256_file,
    store_folder,
)

Check = Callable[[], None]
"""Raises a WeightsError where the model is damaged."""


def checks(registry: Registry) -> dict[str, Check]:
    """A check for every model that ships, that is in the store, or was pulled for open_clip."""
    found: dict[str, Check] = {}
    for name in registry.embedded:
        found[f"{name}/embedded"] = partial(_check_embedded, name, registry)
    if (embedded_root() / "vqgan" / SOURCE).is_file():
        found["vqgan/embedded"] = partial(_check_stored, "vqgan/embedded")
    for name in installed():
        found[name] = partial(_check_stored, name)
    for one in registry.checkpoints.values():
        if one.family == CLIP and recorded(store_folder(), one.name):
            found[one.name] = partial(_check_clip, one)
    return found


def check_names(names: Iterable[str], found: Mapping[str, Check]) -> None:
    """Refuse names that are not here.

    Raises:
        UnknownNameError: one is not.
    """
    for name in names:
        if name not in found:
            raise UnknownNameError.of(
                "model here", name, found, hint=f"(get it: guidegen models pull {name})"
            )


def embedded_root() -> Path:
    """The folder of the models that ship."""
    return embedded("clip").parent


def _check_embedded(name: str, registry: Registry) -> None:
    now = folder_digest(embedded(name))
    if now != registry.embedded[name]:
        raise WeightsError(
            f"{embedded(name)} is not what was released (digest {now}); install guidegen again"
        )


def _check_stored(name: str) -> None:
    stored = find_stored(name)
    if stored is None:
        raise WeightsError(f"{store_folder() / name} has no weights")
    stored.check()


def _check_clip(one: Checkpoint) -> None:
    before = recorded(store_folder(), one.name)
    for source in one.sources:
        path = in_hub_cache(source)
        if path is not None:
            now = sha256_file(path)
            if now != before:
                raise WeightsError(
                    f"{path} has the SHA-256 {now}, but {store_folder() / LOCK} says {before}; "
                    "remove it and pull it again"
                )
            return

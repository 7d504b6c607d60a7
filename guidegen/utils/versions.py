"""Versions of guidegen and of the packages that a picture depends on. Torch-free."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

_PACKAGES = ("guidegen", "torch", "torchvision", "open_clip_torch", "pillow", "numpy")


def own_version() -> str:
    """The version of guidegen."""
    return versions().get("guidegen", "0+source")


@cache
def versions() -> Mapping[str, str]:
    """Versions of the packages that a picture depends on."""
    found = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = installed(package)
    return found

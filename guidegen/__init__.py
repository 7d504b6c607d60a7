"""guidegen: a prompt becomes a picture, guided by CLIP.

    import guidegen

    picture = guidegen.generate("a red apple", seed=7)
    picture.image                 # a PIL image
    picture.path                  # outputs/a-red-apple-7-…/image.png
    picture.run                   # the run directory

Importing the package is cheap; torch is loaded when a picture is made.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from guidegen.utils.threads import prepare

if TYPE_CHECKING:
    from guidegen.config import RunConfig
    from guidegen.engine.generate import Picture
    from guidegen.errors import GuidegenError
    from guidegen.recorders import Recorder

prepare()

__all__ = ["GuidegenError", "Picture", "RunConfig", "generate"]

_LAZY = {
    "GuidegenError": "guidegen.errors",
    "Picture": "guidegen.engine.generate",
    "RunConfig": "guidegen.config",
}


def generate(
    prompt: str,
    *,
    recorders: "Sequence[Recorder]" = (),
    progress: bool = False,
    **settings: Any,
) -> "Picture":
    """Make one picture.

    Args:
        prompt: what to draw: `text:weight:stop`, parts joined by `|`.
        recorders: watch every step of the loop.
        progress: show a progress bar on stderr.
        settings: any field of `RunConfig`. `out=None` writes nothing to the disk.

    Raises:
        GuidegenError: see `guidegen.errors`; anything that can be refused is refused before work
            starts.
    """
    from guidegen.config import make_config
    from guidegen.engine.generate import generate as make_pictures

    write = settings.get("out", "") is not None
    if not write:
        del settings["out"]
    config = make_config({"prompt": prompt, **settings})
    watchers = list(recorders)
    if progress:
        from guidegen.recorders.progress import Progress

        watchers.append(Progress(config.prompt))
    (picture,) = make_pictures([config], recorders=lambda _: watchers, write=write)
    return picture


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

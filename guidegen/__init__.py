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
from typing import TYPE_CHECKING, Any, Unpack, overload

from guidegen.utils.threads import prepare

if TYPE_CHECKING:
    from guidegen.config import RunConfig
    from guidegen.engine.begin.starts import starts
    from guidegen.engine.picture import Picture
    from guidegen.engine.settings import Settings
    from guidegen.engine.stream import Stream
    from guidegen.engine.stream_step import StreamStep
    from guidegen.errors import GuidegenError
    from guidegen.media.upscale_file import upscale_file as upscale
    from guidegen.recorders import Recorder, StepCallback
    from guidegen.utils.stop import Stop
    from guidegen.zero_shot.caption import caption
    from guidegen.zero_shot.classify import classify
    from guidegen.zero_shot.embed import embed
    from guidegen.zero_shot.score import score
    from guidegen.zero_shot.search import search, search_runs

prepare()

__all__ = [
    "GuidegenError", "Picture", "Recorder", "RunConfig", "Stop", "Stream", "StreamStep",
    "caption", "classify", "embed", "generate", "score", "search", "search_runs", "starts",
    "stream", "upscale",
]  # fmt: skip

_LAZY = {
    "GuidegenError": "guidegen.errors",
    "Picture": "guidegen.engine.picture",
    "Recorder": "guidegen.recorders",
    "RunConfig": "guidegen.config",
    "Stop": "guidegen.utils.stop",
    "Stream": "guidegen.engine.stream",
    "StreamStep": "guidegen.engine.stream_step",
    "caption": "guidegen.zero_shot.caption",
    "classify": "guidegen.zero_shot.classify",
    "embed": "guidegen.zero_shot.embed",
    "score": "guidegen.zero_shot.score",
    "starts": "guidegen.engine.begin.starts",
    "search": "guidegen.zero_shot.search",
    "search_runs": "guidegen.zero_shot.search",
    "upscale": "guidegen.media.upscale_file:upscale_file",
}


# a str is a sequence of str as well: the first overload that fits wins
@overload
def generate(  # type: ignore[overload-overlap]
    prompt: str,
    *,
    stop: "Stop | None" = None,
    recorders: "Sequence[StepCallback]" = (),
    progress: bool = False,
    **settings: "Unpack[Settings]",
) -> "Picture": ...


@overload
def generate(
    prompt: Sequence[str],
    *,
    stop: "Stop | None" = None,
    recorders: "Sequence[StepCallback]" = (),
    progress: bool = False,
    **settings: "Unpack[Settings]",
) -> "list[Picture]": ...


def generate(
    prompt: str | Sequence[str],
    *,
    stop: "Stop | None" = None,
    recorders: "Sequence[StepCallback]" = (),
    progress: bool = False,
    **settings: "Unpack[Settings]",
) -> "Picture | list[Picture]":
    """Make a picture, or one of each prompt.

    Args:
        prompt: what to draw: `text:weight:stop`, parts joined by `|`. Several are drawn together,
            and give a list.
        stop: set it from another thread, and the picture so far comes back with the status
            "interrupted"; the same call goes on from there.
        recorders: see every step of the loop. One that returns a text ends the run with this step;
            the picture is finished, and the text is its `ended`.
        progress: show a progress bar on stderr.
        settings: any field of `RunConfig`. A size may be (width, height), a shift (right, down),
            and `init_image` and `image_prompt` take PIL images as well as paths. The seed -1 draws
            one. `out=None` writes nothing to the disk.

    Raises:
        RunInterruptedError: stopped before there was any picture.
        GuidegenError: see `guidegen.errors`; anything that can be refused is refused before work
            starts.
    """
    from guidegen.errors import RunInterruptedError

    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    watchers = list(recorders)
    if progress:
        from guidegen.recorders.progress import Progress

        watchers.append(Progress(", ".join(prompts)))
    with _stream(prompts, 1, stop, watchers, False, settings) as running:
        for _ in running:
            pass
    if not running.pictures:
        raise RunInterruptedError("stopped before the first step; nothing was made")
    return running.pictures[0] if isinstance(prompt, str) else _in_order(prompts, running.pictures)


def _in_order(prompts: Sequence[str], pictures: "Sequence[Picture]") -> "list[Picture]":
    """The pictures as their prompts stand; those that can't advance together come in any order."""
    place = {prompt.strip(): number for number, prompt in reversed(list(enumerate(prompts)))}
    return sorted(pictures, key=lambda picture: place[picture.config.prompt])


def stream(
    prompt: str,
    *,
    count: int = 1,
    stop: "Stop | None" = None,
    recorders: "Sequence[StepCallback]" = (),
    force: bool = False,
    **settings: "Unpack[Settings]",
) -> "Stream":
    """Make pictures step by step; each step can be looked at, and the run stopped.

        with guidegen.stream("a red apple", seed=7) as stream:
            for step in stream:
                if step.index % 10 == 0:
                    step.preview(128).show()
        stream.picture.image

    A run that is stopped (`stream.stop()` or `stop.set()` from any thread) or left before its end
    keeps the best picture so far and saves its state. The same call goes on from there to the same
    pixels; that is also how a run is paused. A finished run is found again and has no steps.

    Args:
        prompt: what to draw: `text:weight:stop`, parts joined by `|`.
        count: pictures with consecutive seeds, which advance together; each step of each is told.
        stop: looked at after every step; one can stop several streams.
        recorders: as those of `generate`; they see all pictures of a batch at once.
        force: make pictures again although identical runs are finished.
        settings: as those of `generate`.

    Raises:
        GuidegenError: see `guidegen.errors`; anything that can be refused is refused by this call.
    """
    return _stream([prompt], count, stop, recorders, force, settings)


def _stream(
    prompts: Sequence[str],
    count: int,
    stop: "Stop | None",
    recorders: "Sequence[StepCallback]",
    force: bool,
    settings: "Settings",
) -> "Stream":
    from guidegen.config import make_configs
    from guidegen.engine.settings import plain
    from guidegen.engine.stream import Stream

    fields = plain(settings)
    write = fields.get("out", "") is not None
    if not write:
        del fields["out"]
    configs = [
        config
        for prompt in prompts
        for config in make_configs({"prompt": prompt, **fields}, count=count)
    ]
    return Stream(configs, stop=stop, recorders=lambda _: list(recorders), write=write, force=force)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

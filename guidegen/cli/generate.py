"""`guidegen generate`, which is also plain `guidegen PROMPT...`.

The flags are made from RunConfig's fields: one field, one flag.
"""

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from guidegen import registry
from guidegen.cli.flags import Flag, declare, signature
from guidegen.cli.words import check_prompts
from guidegen.config import DRAW, MAX_SEED, MAX_STARTS, RunConfig, make_config, read_toml, to_toml
from guidegen.engine.defaults import fill
from guidegen.errors import ConfigError, RunInterruptedError
from guidegen.prompt.hints import hints
from guidegen.prompt.loss_terms import parse_loss_term
from guidegen.runs import metadata, store
from guidegen.utils.memory import return_large_buffers
from guidegen.utils.signals import stopping_on_signals
from guidegen.utils.stop import Stop

if TYPE_CHECKING:
    from guidegen.engine.picture import Picture

# All of them are planned before the first is drawn; lists are read as they are drawn.
MAX_PICTURES = 10_000
# Bytes of a run directory that are worth telling.
_LARGE = 5_000_000
# Pixels above which a picture's buffers are given back rather than kept.
_LARGE_PICTURE = 1024**2


def generate(
    *prompts: str,
    count: int = 1,
    config: Path | None = None,
    print_config: bool = False,
    force: bool = False,
    quiet: bool = False,
    each: bool = False,
    json_: bool = False,
    pick: str | None = None,
    **settings: Any,
) -> None:
    """Draw a picture of each prompt."""
    check_prompts(prompts, each=each)
    given = {name: value for name, value in settings.items() if value is not None}
    merged = {**(read_settings(config) if config else {}), **given}
    configs = plan(prompts, merged, count=count, picks=read_picks(pick))
    if print_config:
        if len(configs) > 1:
            raise ConfigError("--print-config prints one config; give it one prompt and no --count")
        print(to_toml(fill(configs[0])), end="")
        return
    _refuse_early(configs)
    if not quiet:
        _announce(configs, count=count, drawn=merged.get("seed") == DRAW)
    draw(configs, force=force, quiet=quiet, json_=json_)


def read_settings(path: Path) -> dict[str, Any]:
    """Settings from a TOML file, from a picture that guidegen made, or from a run.

    Raises:
        GuidegenError: it holds none.
    """
    if path.is_dir() or path.name == store.MANIFEST:
        config = store.Run.load(path).config
    elif store.is_picture(path) and path.is_file():
        config = metadata.read(path).config
    else:
        return read_toml(path)
    named = config.model_dump(exclude_unset=True, exclude={"out"}, exclude_none=True)
    return {name: value for name, value in named.items() if value not in ((), "")}


def read_picks(text: str | None) -> list[int]:
    """The numbers of `--pick 3,7`.

    Raises:
        ConfigError: it holds others.
    """
    if text is None:
        return []
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_STARTS for part in numbers):
        raise ConfigError(
            f"{text!r} names no starts; write their numbers, like 3 or 3,7 (guidegen starts shows "
            "them)",
            field="pick",
        )
    return list(dict.fromkeys(map(int, numbers)))


def plan(
    prompts: Sequence[str], settings: dict[str, Any], *, count: int, picks: Sequence[int] = ()
) -> list[RunConfig]:
    """One config for each prompt, seed and start that was picked.

    Args:
        prompts: what to draw; empty takes the prompt that the settings name.
        settings: RunConfig fields that the user named. The seed -1 draws one.
        count: pictures of each prompt, with consecutive seeds.
        picks: numbers of the starts to go on from; empty is what the settings say.

    Raises:
        ConfigError: a setting is wrong, or there is no prompt.
    """
    # Twice the same prompt and seed is once the same picture.
    prompts = list(dict.fromkeys(prompts))
    if not prompts and "prompt" in settings:
        prompts = [settings["prompt"]]
    if not prompts and (settings.get("image_prompt") or settings.get("noise_prompt")):
        prompts = [""]
    if not prompts:
        raise ConfigError('there is no prompt; try: guidegen "a red apple"')
    if count < 1:
        raise ConfigError(f"draw at least 1 picture, not {count}", field="count")
    total = count * len(prompts) * max(1, len(picks))
    if total > MAX_PICTURES:
        raise ConfigError(
            f"at most {MAX_PICTURES:,} pictures in one call, not {total:,}; "
            "guidegen batch draws a list of any length and goes on where it stopped",
            field="count",
        )
    if settings.get("seed") == DRAW:
        # one for all of this call
        settings = {**settings, "seed": make_config({"prompt": "a", "seed": DRAW}).seed}
    bases = [make_config({**settings, "prompt": prompt}) for prompt in prompts]
    if bases[0].seed + count - 1 > MAX_SEED:
        raise ConfigError(f"with --count {count} it can be {MAX_SEED - count + 1}", field="seed")
    return [
        make_config({**base.model_dump(exclude_unset=True), "seed": base.seed + number, **picked})
        for base in bases
        for number in range(count)
        for picked in ([{"pick": pick} for pick in picks] or [{}])
    ]


def _refuse_early(configs: Sequence[RunConfig]) -> None:
    """Refuse what can be refused before torch is loaded, which takes seconds."""
    for name in dict.fromkeys(config.generator for config in configs):
        registry.find(name)
    for text in dict.fromkeys(text for config in configs for text in config.loss):
        registry.find_loss(parse_loss_term(text).name)
    store.check_writable(configs[0].out)


def _announce(configs: Sequence[RunConfig], *, count: int, drawn: bool) -> None:
    """Say what people may not expect: several pictures, a seed that was drawn."""
    prompts = [config.prompt for config in configs[::count]]
    if len(prompts) > 1 and not any(" " in prompt for prompt in prompts):
        words = " ".join(prompts)
        _note(f'{len(prompts)} prompts; to draw one picture, quote the words: guidegen "{words}"')
    for hint in dict.fromkeys(hint for prompt in prompts for hint in hints(prompt)):
        _note(hint)
    if drawn:
        _note(f"seed {configs[0].seed}, drawn at random; --seed {configs[0].seed} makes it again")


def draw(configs: Sequence[RunConfig], *, force: bool, quiet: bool, json_: bool = False) -> None:
    """Make the pictures; paths or JSON go to stdout, how far it is to stderr."""
    from guidegen.engine.generate import generate as make_pictures
    from guidegen.recorders.progress import Progress

    def recorders(batch: Sequence[RunConfig]) -> Sequence[Progress]:
        label = batch[0].title[:40] if len(batch) == 1 else f"{len(batch)} pictures"
        return [] if quiet else [Progress(label)]

    sizes = [config.height_width() or (0, 0) for config in configs]
    if any(height * width > _LARGE_PICTURE for height, width in sizes):
        return_large_buffers()
    finished = kept = 0
    stop = Stop()
    try:
        with stopping_on_signals(stop):
            for picture in make_pictures(configs, stop=stop, recorders=recorders, force=force):
                if picture.status == "interrupted":
                    kept += 1
                    continue
                finished += 1
                # The path alone, and at once, so that scripts can use it.
                print(_json(picture) if json_ else picture.path, flush=True)
                if not quiet:
                    _note(_summary(picture))
    except KeyboardInterrupt:
        raise RunInterruptedError(
            f"stopped; {finished} of {len(configs)} pictures were finished and are kept"
        ) from None
    if stop:
        raise RunInterruptedError.by(stop.signal, kept)


def _json(picture: "Picture") -> str:
    """A picture as one line of JSON."""
    run = picture.run
    data = {
        "path": str(picture.path),
        "run": str(run.path) if run else None,
        "prompt": picture.config.prompt,
        "seed": picture.config.seed,
        "scores": picture.scores,
        "seconds": run.seconds if run else None,
        "reused": picture.reused,
        "config": picture.config.model_dump(mode="json"),
    }
    return json.dumps(data, ensure_ascii=False)


def _summary(picture: "Picture") -> str:
    parts = [f"seed {picture.config.seed}"]
    parts += [f"{name} {value:.3f}" for name, value in picture.scores.items()]
    if picture.ended:
        parts.append(f"ended early: {picture.ended}")
    if picture.reused:
        parts.append("made earlier (--force makes it again)")
    elif picture.run is not None and picture.run.seconds is not None:
        parts.append(f"{picture.run.seconds:.1f} s")
    if picture.run is not None and (size := _size(picture.run.path)) >= _LARGE:
        parts.append(f"{size / 1e6:.0f} MB in its folder (--trajectory 0 keeps none for videos)")
    return "  " + ", ".join(parts)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_CALL_FLAGS: list[Flag] = [
    (
        "count",
        int,
        1,
        ["--count", "-n"],
        "Pictures of each prompt, seeds one after another.",
    ),
    (
        "pick",
        str | None,
        None,
        ["--pick"],
        "Numbers of starts to go on from, like 3 or 3,7 (guidegen starts shows them) [default: the "
        "best].",
    ),
    (
        "config",
        Path | None,
        None,
        ["--config"],
        "TOML file with settings (see --print-config), or a picture or run whose settings to take.",
    ),
    (
        "print_config",
        bool,
        False,
        ["--print-config"],
        "Print the TOML of this call, every default filled in; draw nothing.",
    ),
    ("json_", bool, False, ["--json"], "Print a line of JSON for each picture, not its path."),
    ("force", bool, False, ["--force"], "Draw although an identical run is finished."),
    ("quiet", bool, False, ["--quiet", "-q"], "Only paths and errors."),
    ("each", bool, False, ["--each"], "Every word is a prompt, although none is quoted."),
]


_PROMPTS = inspect.Parameter(
    "prompts",
    inspect.Parameter.VAR_POSITIONAL,
    annotation=Annotated[str, Parameter(help="What to draw; one picture each.")],
)
declare(generate, signature(_PROMPTS, _CALL_FLAGS))

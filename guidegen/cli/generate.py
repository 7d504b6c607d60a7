"""`guidegen generate`, which is also plain `guidegen PROMPT...`.

The flags are made from RunConfig's fields: one field, one flag.
"""

import inspect
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from guidegen import registry
from guidegen.config import MAX_SEED, RunConfig, make_config, read_toml, to_toml
from guidegen.errors import ConfigError, RunInterruptedError
from guidegen.prompt.loss_terms import parse_loss_term
from guidegen.runs import store
from guidegen.utils.signals import stopping_on_signals
from guidegen.utils.stop import Stop

if TYPE_CHECKING:
    from guidegen.engine.picture import Picture

_SHORT = {"generator": "-g", "out": "-o"}
# As in AUTOMATIC1111's web UI. The default is a fixed seed: the same command, the same picture.
DRAW = -1
# Seeds that are drawn stay short enough to be typed.
_DRAWN_SEEDS = 2**32
_PICTURE = Group("Settings of the picture", sort_key=1)
_CALL = Group("This call", sort_key=2)


def generate(
    *prompts: str,
    count: int = 1,
    config: Path | None = None,
    print_config: bool = False,
    force: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> None:
    """Draw a picture of each prompt."""
    given = {name: value for name, value in settings.items() if value is not None}
    merged = {**(read_toml(config) if config else {}), **given}
    configs = plan(prompts, merged, count=count)
    if print_config:
        if len(configs) > 1:
            raise ConfigError("--print-config prints one config; give it one prompt and no --count")
        print(to_toml(configs[0]), end="")
        return
    _refuse_early(configs)
    if not quiet:
        _announce(configs, count=count, drawn=merged.get("seed") == DRAW)
    draw(configs, force=force, quiet=quiet)


def plan(prompts: Sequence[str], settings: dict[str, Any], *, count: int) -> list[RunConfig]:
    """One config for each prompt and seed.

    Args:
        prompts: what to draw; empty takes the prompt that the settings name.
        settings: RunConfig fields that the user named. The seed -1 draws one.
        count: pictures of each prompt, with consecutive seeds.

    Raises:
        ConfigError: a setting is wrong, or there is no prompt.
    """
    # Twice the same prompt and seed is once the same picture.
    prompts = list(dict.fromkeys(prompts))
    if not prompts and "prompt" in settings:
        prompts = [settings["prompt"]]
    if not prompts:
        raise ConfigError('there is no prompt; try: guidegen "a red apple"')
    if count < 1:
        raise ConfigError(f"draw at least 1 picture, not {count}", field="count")
    if settings.get("seed") == DRAW:
        settings = {**settings, "seed": secrets.randbelow(_DRAWN_SEEDS)}
    bases = [make_config({**settings, "prompt": prompt}) for prompt in prompts]
    if bases[0].seed + count - 1 > MAX_SEED:
        raise ConfigError(f"with --count {count} it can be {MAX_SEED - count + 1}", field="seed")
    return [
        make_config({**base.model_dump(exclude_unset=True), "seed": base.seed + number})
        for base in bases
        for number in range(count)
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
    if drawn:
        _note(f"seed {configs[0].seed}, drawn at random; --seed {configs[0].seed} makes it again")


def draw(configs: Sequence[RunConfig], *, force: bool, quiet: bool) -> None:
    """Make the pictures; paths go to stdout, how far it is to stderr."""
    from guidegen.engine.generate import generate as make_pictures
    from guidegen.recorders.progress import Progress

    def recorders(batch: Sequence[RunConfig]) -> Sequence[Progress]:
        label = batch[0].prompt[:40] if len(batch) == 1 else f"{len(batch)} pictures"
        return [] if quiet else [Progress(label)]

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
                print(picture.path, flush=True)
                if not quiet:
                    _note(_summary(picture))
    except KeyboardInterrupt:
        raise RunInterruptedError(
            f"stopped; {finished} of {len(configs)} pictures were finished and are kept"
        ) from None
    if stop:
        raise RunInterruptedError.by(stop.signal, kept)


def _summary(picture: "Picture") -> str:
    parts = [f"seed {picture.config.seed}"]
    parts += [f"{name} {value:.3f}" for name, value in picture.scores.items()]
    if picture.ended:
        parts.append(f"ended early: {picture.ended}")
    if picture.reused:
        parts.append("made earlier (--force makes it again)")
    elif picture.run is not None and picture.run.seconds is not None:
        parts.append(f"{picture.run.seconds:.1f} s")
    return "  " + ", ".join(parts)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# A flag of one call: parameter, type, default, its names, what it does.
Flag = tuple[str, Any, Any, list[str], str]


def signature(words: inspect.Parameter, call_flags: Sequence[Flag]) -> inspect.Signature:
    """What cyclopts reads of a command that draws.

    Args:
        words: the positional arguments.
        call_flags: what is no field of RunConfig.

    Returns:
        The words, a flag for each field of RunConfig but the prompt, and this call's own.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    found = [words]
    for name, field in RunConfig.model_fields.items():
        if name == "prompt":
            continue
        default = field.get_default(call_default_factory=True)
        flag = f"--{name.replace('_', '-')}"
        if isinstance(default, bool) or default in (None, (), ""):
            shown = ""
        else:
            shown = f" [default: {', '.join(default) if isinstance(default, tuple) else default}]"
        parameter = Parameter(
            name=[flag, *([_SHORT[name]] if name in _SHORT else [])],
            negative=f"--no-{name.replace('_', '-')}" if field.annotation is bool else (),
            help=(field.description or "") + (" -1 draws one." if name == "seed" else "") + shown,
            group=_PICTURE,
            # The last of a flag counts, as people expect who put some into a shell alias.
            allow_repeating=None if isinstance(default, tuple) else True,
        )
        # None stands for "not named", so that --config and the defaults can fill it in.
        annotation: Any = field.annotation
        optional = _annotate(annotation | None, parameter)
        found.append(inspect.Parameter(name, keyword, default=None, annotation=optional))
    for name, kind, default, flags, text in call_flags:
        annotation = _annotate(kind, Parameter(name=flags, help=text, group=_CALL))
        found.append(inspect.Parameter(name, keyword, default=default, annotation=annotation))
    return inspect.Signature(found)


def _annotate(kind: Any, parameter: Parameter) -> Any:
    return Annotated[kind, parameter]


_CALL_FLAGS: list[Flag] = [
    (
        "count",
        int,
        1,
        ["--count", "-n"],
        "Pictures of each prompt, seeds one after another.",
    ),
    ("config", Path | None, None, ["--config"], "TOML file with settings (see --print-config)."),
    ("print_config", bool, False, ["--print-config"], "Print the TOML of this call, draw nothing."),
    ("force", bool, False, ["--force"], "Draw although an identical run is finished."),
    ("quiet", bool, False, ["--quiet", "-q"], "Only paths and errors."),
]


def declare(command: Any, shape: inspect.Signature) -> None:
    """Let cyclopts see this signature in place of the function's own."""
    command.__signature__ = shape
    command.__annotations__ = {name: part.annotation for name, part in shape.parameters.items()}


_PROMPTS = inspect.Parameter(
    "prompts",
    inspect.Parameter.VAR_POSITIONAL,
    annotation=Annotated[str, Parameter(help="What to draw; one picture each.")],
)
declare(generate, signature(_PROMPTS, _CALL_FLAGS))

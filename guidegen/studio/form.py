"""The settings as a form: made from the config model, checked as the command line does."""

from collections.abc import Mapping
from typing import Any

from guidegen import registry
from guidegen.backend import GeneratorInfo
from guidegen.config import RunConfig, make_config, make_configs
from guidegen.engine.defaults import fill
from guidegen.engine.groups import COMMON, GROUPS, REST
from guidegen.errors import ConfigError, GuidegenError
from guidegen.presets import PRESETS
from guidegen.prompt.grammar import parse_scenes
from guidegen.prompt.hints import hints
from guidegen.weights.catalog import CLIP, read_registry
from guidegen.weights.download import in_hub_cache

MAX_COUNT = 64
# Starts to choose from where the page asks for a single picture.
STARTS = 16
# The studio says where runs go.
_HIDDEN = frozenset({"prompt", "out"})


def form(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs to show every setting.

    Args:
        defaults: RunConfig fields that the studio was started with.
    """
    schema = RunConfig.model_json_schema()["properties"]
    fields = {name: _control(one) for name, one in schema.items() if name not in _HIDDEN}
    by_name: dict[str, list[str]] = {"Common": [n for n in COMMON if n in fields]}
    by_name |= {name: [n for n in of if n in fields] for name, of in GROUPS.items()}
    named = {name for names in by_name.values() for name in names}
    by_name[REST] += [name for name in fields if name not in named]
    return {
        "fields": fields,
        "groups": [{"name": name, "fields": of} for name, of in by_name.items() if of],
        "presets": {name: dict(of) for name, of in PRESETS.items()},
        "generators": [_generator(card) for card in _cards()],
        "perceptors": _perceptors(defaults),
        "defaults": dict(defaults),
        "max_count": MAX_COUNT,
        "starts": STARTS,
    }


def _control(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a control has to know of a field."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    (kind,) = kinds
    several = kind.get("type") == "array"
    return {
        "type": "strings" if several else kind.get("type", "string"),
        "choices": kind.get("enum"),
        "low": kind.get("minimum", kind.get("exclusiveMinimum")),
        "high": kind.get("maximum", kind.get("exclusiveMaximum")),
        "default": schema.get("default"),
        "help": schema.get("description", ""),
    }


def _cards() -> list[GeneratorInfo]:
    return [
        backend.info(variant)
        for backend in registry.backends().values()
        for variant in backend.names()
    ]


def _generator(card: GeneratorInfo) -> dict[str, Any]:
    here = True
    backend, variant = registry.find(card.name)
    try:
        backend.check_weights(variant)
    except GuidegenError:
        here = False
    return {
        "name": card.name, "summary": card.summary, "size": card.default_size, "here": here,
        "multiple": card.multiple, "sizes": list(card.sizes), "encodes": card.encodes,
        "options": {
            name: {"default": option.default, "help": option.help, "choices": list(option.choices)}
            for name, option in card.options.items()
        },
    }  # fmt: skip


def _perceptors(defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = [{"name": "embedded", "here": True}, {"name": "embedded/robust", "here": True}]
    known += [
        {"name": one.name, "here": any(in_hub_cache(source) for source in one.sources)}
        for one in read_registry().checkpoints.values()
        if one.family == CLIP
    ]
    names = {one["name"] for one in known}
    own = defaults.get("perceptor", ())
    own = (own,) if isinstance(own, str) else own
    return [{"name": name, "here": True} for name in own if name not in names] + known


def check(fields: Mapping[str, Any], *, count: int = 1) -> dict[str, Any]:
    """What a form would be drawn with, or what is wrong with it, at each field.

    Args:
        fields: RunConfig fields, confined; the seed -1 draws one.
        count: pictures with consecutive seeds.
    """
    prompt = str(fields.get("prompt", ""))
    found: dict[str, Any] = {"scenes": [], "hints": [], "errors": [], "filled": {}}
    try:
        found["scenes"] = scenes(prompt)
        found["hints"] = hints(prompt)
    except ConfigError:
        pass  # which make_config says as well
    try:
        config = configs(fields, count=count)[0]
        filled = fill(config)
        found["filled"] = filled.model_dump(mode="json", exclude={"out"})
        refuse([config])
    except GuidegenError as error:
        found["errors"] = errors_of(error)
    return found


def configs(fields: Mapping[str, Any], *, count: int = 1) -> list[RunConfig]:
    """One config for each picture.

    Raises:
        GuidegenError: as `make_configs`, or too many.
    """
    if count > MAX_COUNT:
        raise ConfigError(f"at most {MAX_COUNT} pictures at once, not {count}", field="count")
    make_config(fields)  # says what is wrong with the prompt before the number
    return make_configs(fields, count=count)


def refuse(pictures: list[RunConfig]) -> None:
    """Refuse what can be refused before any work starts.

    Raises:
        GuidegenError: as `guidegen.engine.resolve.check`.
    """
    from guidegen.engine.resolve import check

    check(pictures)


def refuse_starts(config: RunConfig, count: int) -> None:
    """Refuse early starts that can't be drawn.

    Raises:
        GuidegenError: as `guidegen.engine.begin.starts.check_starts`.
    """
    from guidegen.engine.begin.starts import check_starts

    check_starts(config, count)


def errors_of(error: GuidegenError) -> list[dict[str, str]]:
    """An error as the page shows it: at its field, in the words of the command line."""
    if isinstance(error, ConfigError):
        parts = [(field or error.field, why) for field, why in error.parts]
    else:
        parts = [(error.field, str(error))]
    return [{"field": field, "message": why} for field, why in parts]


def scenes(prompt: str) -> list[list[dict[str, Any]]]:
    """The parts of a prompt, scene by scene.

    Raises:
        PromptSyntaxError: it can't be read.
    """
    return [
        [
            {
                "text": part.text,
                "weight": part.weight,
                "stop": None if part.stop < -1e300 else part.stop,
            }
            for part in scene
        ]
        for scene in parse_scenes(prompt)
    ]

"""Finds plug-ins by the entry-point groups `guidegen.generators` and `guidegen.losses`. Torch-free.

Ours and third parties' are found the same way. A plug-in that can't be loaded harms only itself:
it is reported when it is named, and by `broken()`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from guidegen.backend import Backend, LossInfo
from guidegen.errors import GuidegenError, UnknownNameError

GROUP = "guidegen.generators"
LOSSES = "guidegen.losses"
# Also after an update of the code: pip writes down what there is.
_INSTALL = "install guidegen itself: pip install guidegen, or pip install -e . in its folder"


def backends() -> dict[str, Backend]:
    """Name -> backend, for all that can be loaded, sorted by name."""
    return _load_all()[0]


def broken() -> dict[str, str]:
    """Name -> why, for all that can't be loaded."""
    return _load_all()[1]


def find(name: str) -> tuple[Backend, str]:
    """The backend and variant that a name means.

    Args:
        name: `backend` or `backend/variant`. Without a variant it is the backend's default, or its
            only one.

    Raises:
        UnknownNameError: there is none of that name; the nearest are offered.
        GuidegenError: the plug-in of that name can't be loaded.
    """
    good, bad = _load_all()
    base, _, variant = name.partition("/")
    if base in bad:
        raise GuidegenError(f"the generator {base!r} can't be used: {bad[base]}")
    if base not in good:
        if not good:
            raise UnknownNameError(
                f"no generator is called {name!r}: none is installed; {_INSTALL}"
            )
        raise UnknownNameError.of(
            "generator", name, _names(good), hint="(guidegen generators lists them)"
        )
    backend = good[base]
    if variant in backend.names():
        return backend, variant
    if not variant and len(backend.variants) == 1:
        return backend, next(iter(backend.variants))
    full = _names({base: backend})
    if not variant:
        raise UnknownNameError(f"{base} has several variants, name one: {', '.join(full)}")
    raise UnknownNameError.of("generator", name, full)


def load_generator(
    name: str, given: Sequence[str], *, size: tuple[int, int], device: str, precision: str
) -> Any:
    """The `guidegen.interfaces.Generator` of a name, with its weights.

    Args:
        name: as `find` takes it.
        given: options, each "NAME=VALUE".
        size: (height, width) in pixels.
        device: where it computes.
        precision: "auto", "fp32", "bf16" or "fp16".

    Raises:
        GuidegenError: as `find` and `GeneratorInfo.read_options`; or weights that are missing or
            broken.
    """
    backend, variant = find(name)
    options = backend.info(variant).read_options(given)
    try:
        return backend.load(variant, size=size, device=device, precision=precision, options=options)
    except SystemExit as error:  # which would end everything without a word
        raise GuidegenError(f"the generator {name!r} wanted to exit ({error})") from error


def _names(found: Mapping[str, Backend]) -> list[str]:
    """Every name that `find` takes, with its variant."""
    return [
        f"{name}/{variant}" if variant else name
        for name, backend in found.items()
        for variant in backend.names()
    ]


def losses() -> dict[str, LossInfo]:
    """Name -> card, for all losses that can be loaded, sorted by name."""
    return _load_group(LOSSES, LossInfo)[0]


def broken_losses() -> dict[str, str]:
    """Name -> why, for all losses that can't be loaded."""
    return _load_group(LOSSES, LossInfo)[1]


def find_loss(name: str) -> LossInfo:
    """The card of a loss.

    Raises:
        UnknownNameError: there is none of that name; the nearest are offered.
        GuidegenError: the plug-in of that name can't be loaded.
    """
    good, bad = _load_group(LOSSES, LossInfo)
    if name in bad:
        raise GuidegenError(f"the loss {name!r} can't be used: {bad[name]}")
    if name not in good:
        if not good:
            raise UnknownNameError(f"no loss is called {name!r}: none is installed; {_INSTALL}")
        raise UnknownNameError.of("loss", name, good)
    return good[name]


class _Card(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Card)


def _load_all() -> tuple[dict[str, Backend], dict[str, str]]:
    return _load_group(GROUP, Backend)


def _load_group(group: str, kind: type[_T]) -> tuple[dict[str, _T], dict[str, str]]:
    """The plug-ins of a group by their names, and why others can't be loaded."""
    by_name: dict[str, dict[str, EntryPoint]] = defaultdict(dict)
    for entry in entry_points(group=group):
        # The same package may be seen twice on the path; only different targets are a clash.
        by_name[entry.name].setdefault(entry.value, entry)
    good: dict[str, _T] = {}
    bad: dict[str, str] = {}
    for name, entries in sorted(by_name.items()):
        if len(entries) > 1:
            owners = ", ".join(sorted(_owner(entry) for entry in entries.values()))
            bad[name] = f"two packages offer it ({owners}); uninstall one"
            continue
        (entry,) = entries.values()
        try:
            good[name] = _load(entry, kind)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in can fail in any way, and SystemExit is one
            why = " ".join(f"{type(error).__name__}: {error}".split())
            bad[name] = f"{_owner(entry)} fails to load: {why}"
    return good, bad


def _load(entry: EntryPoint, kind: type[_T]) -> _T:
    card = entry.load()
    if not isinstance(card, kind):
        raise TypeError(f"{entry.value} is no {kind.__module__}.{kind.__name__}")
    if card.name != entry.name:
        raise ValueError(f"its entry point is called {entry.name!r}, itself {card.name!r}")
    if isinstance(card, Backend) and not card.variants:
        raise ValueError("it has no variants")
    return card


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value

"""What a plug-in tells about itself before anything heavy is imported. Torch-free."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from guidegen.errors import GuidegenError, about
from guidegen.options import Option, read_options
from guidegen.weights.store import find_stored, stored, stored_names

__all__ = ["Backend", "Defaults", "GeneratorInfo", "LossInfo", "Option"]


@dataclass(frozen=True)
class Defaults:
    """Settings of the loop that suit one generator; the user's own always win.

    Attributes:
        steps: optimiser steps.
        lr: learning rate.
        cutouts: crops that CLIP sees in each step.
        starts: starts that are drawn and scored; the best is optimised.
        noise: highest standard deviation of the noise added to each cutout, in units of [0, 1].
        whole: share of the cutouts that show the whole picture.
        scale: smallest and largest side of the other cutouts, in parts of the shorter side.
        shift: how far whole cutouts are shifted and enlarged, in parts of the picture.
        start_from: generator whose pictures it starts from; "" is none. It gives way to an init
            image and to an option `start`.
    """

    steps: int = 200
    lr: float = 0.05
    cutouts: int = 32
    starts: int = 1
    noise: float = 0.1
    whole: float = 0.5
    scale: tuple[float, float] = (0.5, 0.95)
    shift: float = 0.0
    start_from: str = ""


@dataclass(frozen=True)
class GeneratorInfo:
    """One line of `guidegen generators`.

    Attributes:
        name: `backend` or `backend/variant`, as `--generator` takes it.
        summary: what it makes, in a few words.
        sizes: (smallest, largest) side in pixels.
        multiple: sides must be a multiple of this.
        default_size: side in pixels where none is asked for.
        latents: name -> shape of one candidate, as text for people.
        licence: of the weights or patches.
        source: where the method comes from (paper or repository).
        encodes: whether it can start from an image.
        defaults: settings of the loop.
        options: what `--option NAME=VALUE` takes.
    """

    name: str
    summary: str
    sizes: tuple[int, int]
    default_size: int
    multiple: int = 1
    latents: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    encodes: bool = False
    defaults: Defaults = Defaults()
    options: Mapping[str, Option] = field(default_factory=dict)

    def read_options(self, given: Sequence[str]) -> dict[str, Any]:
        """Every option with its value: what `given` says ("NAME=VALUE"), else the default.

        Raises:
            ConfigError: a value that can't be.
            UnknownNameError: no such option.
        """
        return read_options(self.name, self.options, given)


@dataclass(frozen=True)
class Backend:
    """What an entry point of the group `guidegen.generators` names.

    Attributes:
        name: the part of `--generator` before the slash.
        variants: variant name ("" for the default) -> its card.
        target: `module:callable`; called as `callable(info, size=(height, width), device=...,
            precision=..., options=...)` it returns a `guidegen.interfaces.Generator`. `info` is the
            card, `precision` "auto", "fp32", "bf16" or "fp16", `options` as
            `GeneratorInfo.read_options` returns them.
        describe: `module:callable`, torch-free; called as `callable(name, config)` it returns the
            card of weights that the user imported under `name` of this backend and that are none of
            `variants`; `config` is their `config.json`. "" where there is no such thing.
    """

    name: str
    variants: Mapping[str, GeneratorInfo]
    target: str
    describe: str = ""

    def names(self) -> list[str]:
        """Every variant: the built-in ones, then those that were imported."""
        return [*self.variants, *(v for v in self._imported() if v not in self.variants)]

    def info(self, variant: str) -> GeneratorInfo:
        """The card of one variant.

        Raises:
            KeyError: there is no such variant.
        """
        if variant in self.variants:
            return self.variants[variant]
        if variant not in self._imported():
            raise KeyError(variant)
        found = find_stored(f"{self.name}/{variant}")
        assert found is not None
        card: GeneratorInfo = _attribute(self.describe)(found.name, found.config)
        return card

    def load(
        self,
        variant: str,
        *,
        size: tuple[int, int],
        device: str,
        precision: str = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Import the backend and build the generator of one variant.

        Args:
            variant: one of `names()`.
            size: (height, width) in pixels.
            device: where it computes.
            precision: "auto", "fp32", "bf16" or "fp16".
            options: as `GeneratorInfo.read_options` returns them; None is the defaults.
        """
        info = self.info(variant)
        values = info.read_options(()) if options is None else dict(options)
        build = _attribute(self.target)
        return build(info, size=size, device=device, precision=precision, options=values)

    def check_weights(self, variant: str) -> None:
        """Refuse a variant whose weights are not here, without reading them.

        Raises:
            WeightsError: they are not in the store, and how to get them.
        """
        if self.describe:  # only such a backend keeps its weights in the store
            stored(self.info(variant).name)

    def code_digest(self) -> str:
        """SHA-256 over the code of a plug-in that has no weights to tell its versions apart.

        That of its module, or of all modules of its package. "" for what ships with guidegen, whose
        version says the same.
        """
        module = self.target.partition(":")[0]
        if module.partition(".")[0] == "generators":
            return ""
        try:
            found = find_spec(module)
        except (ImportError, ValueError):
            return ""
        if found is None or not found.origin:
            return ""
        path = Path(found.origin)
        alone = found.parent in ("", None)
        digest = hashlib.sha256()
        for file in [path] if alone else sorted(path.parent.rglob("*.py")):
            with suppress(OSError):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()

    def _imported(self) -> list[str]:
        return stored_names(self.name) if self.describe else []


@dataclass(frozen=True)
class LossInfo:
    """What an entry point of the group `guidegen.losses` names.

    Attributes:
        name: as `--loss NAME=WEIGHT` takes it.
        summary: what it wants of a picture, in a few words.
        target: `module:callable`; called as `callable(info, context)` with this card and a
            `guidegen.interfaces.LossContext` it returns a `guidegen.interfaces.Loss`.
        source: where the method comes from (paper or repository).
        options: what `--loss-option LOSS.NAME=VALUE` takes.
        check: `module:callable`; called as `check(options)` before any work starts, it
            raises a ConfigError of the field `loss_option` where values can't be used. "" for none.
    """

    name: str
    summary: str
    target: str
    source: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    check: str = ""

    def read_options(self, given: Sequence[str]) -> dict[str, Any]:
        """Every option with its value, checked.

        Args:
            given: "NAME=VALUE" each.

        Raises:
            ConfigError: a value that can't be.
            UnknownNameError: no such option.
        """
        owner = f"the loss {self.name}"
        with about("loss_option"):
            values = read_options(owner, self.options, given, field="loss_option")
            if self.check:
                _attribute(self.check)(values)
        return values

    def load(self, context: Any) -> Any:
        """Import the module and build the loss.

        Args:
            context: a `guidegen.interfaces.LossContext`.

        Raises:
            GuidegenError: what it builds has no `image_loss` and no `view_loss`.
        """
        loss = _attribute(self.target)(self, context)
        if not any(callable(getattr(loss, name, None)) for name in ("image_loss", "view_loss")):
            raise GuidegenError(
                f"the loss {self.name!r} can't be used: what {self.target} returns has neither an "
                "image_loss nor a view_loss"
            )
        return loss


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)

"""The published checkpoints that guidegen knows, read from `checkpoints.toml`. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from guidegen.errors import ConfigError, UnknownNameError
from guidegen.utils.parse import parse_toml

BIGGAN, VQGAN, CLIP = "biggan", "vqgan", "clip"


@dataclass(frozen=True)
class Source:
    """One place where a checkpoint lies: a file of a hub repository, or a plain URL.

    Attributes:
        url: where it is no hub file.
        hub: repository of huggingface.co.
        revision: commit, branch or tag of that repository.
        path: file of that repository.
        other: the same model in another file, whose length and digest are its own.
    """

    url: str = ""
    hub: str = ""
    revision: str = "main"
    path: str = ""
    other: bool = False

    @property
    def label(self) -> str:
        """Where it is, for people and for `source.json`."""
        return self.url or f"hf://{self.hub}@{self.revision}/{self.path}"

    @property
    def file(self) -> str:
        """A name for the downloaded file that keeps its ending."""
        tail = (self.path or self.url.partition("&")[0]).replace("%2F", "/")
        return tail.rpartition("/")[2].partition("?")[0] or "download"


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint.

    Attributes:
        name: as `--generator` or `--perceptor` takes it.
        family: "biggan", "vqgan" or "clip".
        good_for: in a few words.
        licence: as stated where the weights are published, or "not stated".
        format: of the published file, in words.
        sources: in the order in which they are tried.
        size: bytes of the file; None where it is not known.
        about: bytes, where only a rough figure is known.
        sha256: of the file in hex; "" where none was published.
        config: `config.json` of the model in the store; empty for CLIP.
        side: of the square picture that a CLIP sees, in pixels; None for what is no CLIP.
        parameters: numbers in both towers of a CLIP, by its architecture; None for what is none.
    """

    name: str
    family: str
    good_for: str
    licence: str
    format: str
    sources: tuple[Source, ...]
    size: int | None = None
    about: int | None = None
    sha256: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    side: int | None = None
    parameters: int | None = None

    @property
    def size_text(self) -> str:
        """Its length for people."""
        size = self.size or self.about
        if not size:
            return "?"
        text = f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
        return text if self.size else f"~{text}"


@dataclass(frozen=True)
class Registry:
    """What `checkpoints.toml` says.

    Attributes:
        checkpoints: name -> checkpoint, in the order of the file.
        embedded: name of a model that ships with guidegen -> its `weights.folder_digest`.
    """

    checkpoints: Mapping[str, Checkpoint]
    embedded: Mapping[str, str]

    def find(self, name: str) -> Checkpoint:
        """The checkpoint of that name.

        Raises:
            UnknownNameError: there is none.
        """
        if name not in self.checkpoints:
            raise UnknownNameError.of(
                "published checkpoint",
                name,
                self.checkpoints,
                hint="(all: guidegen models list; any other file: guidegen models import)",
            )
        return self.checkpoints[name]


def read_registry(path: Path | None = None) -> Registry:
    """Read a registry file; None takes the one that ships with guidegen.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        if path is None:
            text = (resources.files(__package__) / "checkpoints.toml").read_text(encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        data = parse_toml(text)
        shapes = data.get("architectures", {})
        found = [_checkpoint(entry, shapes) for entry in data["checkpoint"]]
        return Registry({one.name: one for one in found}, data.get("embedded", {}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"can't read {path or 'checkpoints.toml'}: {error!r}") from error


def _checkpoint(entry: Mapping[str, Any], shapes: Mapping[str, Any]) -> Checkpoint:
    fields = dict(entry)
    config = {**shapes.get(fields.pop("architecture", ""), {}), **fields.pop("config", {})}
    sources = tuple(Source(**source) for source in fields.pop("sources"))
    if not sources or any(bool(source.url) == bool(source.hub) for source in sources):
        raise ValueError(f"{fields['name']}: every source is a url or a hub repository")
    return Checkpoint(**fields, sources=sources, config=config)

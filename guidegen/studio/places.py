"""Which files the page may name: runs in the output folder, and pictures that it brought."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from guidegen.config import RunConfig
from guidegen.config.init_run import parse_init_run
from guidegen.errors import ConfigError, InputImageError, OutputError
from guidegen.media.decode import decode
from guidegen.prompt.references import parse_image_prompt
from guidegen.prompt.regions import parse_region
from guidegen.runs.store import MANIFEST
from guidegen.utils.files import write_atomic

# The studio's own files, in the output folder. Names that begin with a dot are nobody's run.
OWN = ".studio"
TRASH = ".trash"
MAX_UPLOAD = 32 << 20  # bytes of one picture
_MAX_UPLOADS = 2 << 30  # of all
_ID = re.compile(r"[0-9a-f]{32}")
# How the page names a picture that it brought.
_BROUGHT = "upload:"


class Places:
    """The output folder, and the names in it that a request may use.

    Args:
        root: the output folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.own = self.root / OWN
        self.uploads = self.own / "uploads"

    def inside(self, name: str) -> Path:
        """The path of a name within the output folder.

        Raises:
            InputImageError: it leads out of it, or to what is hidden.
        """
        parts = name.split("/")
        if "\\" in name or "\0" in name or any(p in ("", "..") or p[0] == "." for p in parts):
            raise InputImageError(f"{name!r} is no name in the output folder")
        path = self.root.joinpath(*parts)
        if not path.resolve().is_relative_to(self.root):
            raise InputImageError(f"{name!r} is no name in the output folder")
        return path

    def run(self, name: str) -> Path:
        """The run directory of a name.

        Raises:
            InputImageError: there is none.
        """
        path = self.inside(name)
        if not (path / MANIFEST).is_file():
            raise InputImageError(f"there is no run {name!r}")
        return path

    def name(self, path: Path) -> str:
        """How the page names a run directory; "" for one that lies elsewhere."""
        with suppress(ValueError):
            return path.resolve().relative_to(self.root).as_posix()
        return ""

    def keep(self, data: bytes) -> str:
        """Keep a picture that the page brought, if it can be read; returns its id.

        Raises:
            InputImageError: as `decode`; the file is not kept.
            OutputError: there is no room for more.
        """
        folder = self.uploads
        name = hashlib.sha256(data).hexdigest()[:32]
        with suppress(InputImageError):
            self.brought(name)
            return name
        folder.mkdir(parents=True, exist_ok=True)
        if sum(file.stat().st_size for file in folder.iterdir()) + len(data) > _MAX_UPLOADS:
            raise OutputError(
                f"{folder} holds {_MAX_UPLOADS >> 30} GiB of pictures; remove those that no run "
                "starts from"
            )
        with tempfile.TemporaryDirectory(dir=self.own) as room:
            seen = Path(room) / "picture"
            seen.write_bytes(data)
            try:
                decode(seen, "picture")
            except InputImageError as error:  # the temporary path means nothing to anybody
                raise InputImageError(str(error).replace(f"{seen} ", "")) from None
        write_atomic(folder / name, data)
        return name

    def brought(self, name: str) -> Path:
        """The file of a picture that the page brought; it was asked for now.

        Raises:
            InputImageError: there is none of that id.
        """
        path = self.uploads / name
        if not _ID.fullmatch(name) or not path.is_file():
            raise InputImageError("that picture is not here any more; drop it again")
        with suppress(OSError):  # the time of writing is what small pictures are kept by
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return path

    def picture(self, text: str) -> Path:
        """The picture that a setting names: `upload:ID`, or a path within the output folder.

        Raises:
            InputImageError: it is neither.
        """
        if text.startswith(_BROUGHT):
            return self.brought(text.removeprefix(_BROUGHT))
        path = self.root / text
        if not path.resolve().is_relative_to(self.root):
            raise InputImageError(
                f"{text} lies outside the output folder; drop the picture on the page instead"
            )
        return path

    def confined(self, fields: Mapping[str, Any], *, trusted: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the page, in which each path is a file that the page may name.

        Args:
            fields: RunConfig fields, as the page gave them.
            trusted: those that the studio was started with; what equals them may be anywhere.

        Raises:
            GuidegenError: a path leads elsewhere; its `field` says of which setting.
        """
        found = dict(fields)
        if "out" in found:
            raise ConfigError("the studio keeps its runs in one folder", field="out")
        for name, value in fields.items():
            if value in (None, "", [], ()) or value == trusted.get(name):
                continue
            try:
                if name == "image_prompt":
                    found[name] = [self._image_prompt(text) for text in _several(value)]
                elif name == "perceptor":
                    _refuse_folders(_several(value), _several(trusted.get(name, ())))
                elif name == "init_run":
                    found[name] = self._init_run(str(value))
                elif name == "region":
                    for text in _several(value):
                        self._region(text)
                elif name == "loss_option":
                    for text in _several(value):
                        self._no_file(text)
                elif name in _PATHS:
                    found[name] = str(self.picture(str(value)))
            except (InputImageError, ConfigError) as error:
                error = ConfigError(str(error), field=name)
                raise error from None
        return found

    def _init_run(self, text: str) -> str:
        path, step = parse_init_run(text)
        inside = self.root / path  # an absolute path stays as it is
        run = self.run(self.name(inside) or path.as_posix())
        return str(run) if step is None else f"{run}@{step}"

    def _region(self, text: str) -> None:
        mask = parse_region(text).mask
        if mask is not None and not mask.resolve().is_relative_to(self.root):
            raise InputImageError(f"{mask} lies outside the output folder")

    def _no_file(self, text: str) -> None:
        """Refuse an option whose value names a file that is there, outside of the folder."""
        value = Path(text.partition("=")[2].strip())
        if value.is_file() and not value.resolve().is_relative_to(self.root):
            raise InputImageError(f"{value} lies outside the output folder")

    def allow(self, config: RunConfig, *, trusted: Mapping[str, Any]) -> None:
        """Refuse a picture whose settings name a file outside of the output folder.

        Raises:
            ConfigError: about the setting.
        """
        given = config.model_dump(exclude={"out", "image_prompt"}, exclude_defaults=True)
        self.confined(given, trusted=trusted)
        for text in config.image_prompt:
            try:
                self.picture(str(parse_image_prompt(text).path))
            except InputImageError as error:
                raise ConfigError(str(error), field="image_prompt") from None

    def _image_prompt(self, text: str) -> str:
        head = _BROUGHT if text.startswith(_BROUGHT) else ""
        image = parse_image_prompt(text.removeprefix(head))
        path = self.picture(f"{head}{image.path}")
        plain = str(path).replace(":", "\\:")
        stop = f":{image.stop!r}" if image.stop != float("-inf") else ""
        return f"{plain}:{image.weight!r}{stop}"


def _several(value: object) -> list[str]:
    several = value if isinstance(value, list | tuple) else [value]
    return [str(text) for text in several]


def _refuse_folders(perceptors: list[str], trusted: list[str]) -> None:
    for text in perceptors:
        if text.startswith("local-dir:") and text not in trusted:
            raise ConfigError(
                f"{text} is no CLIP that the page may name; start it with that perceptor"
            )


_PATHS = frozenset(
    name
    for name, field in RunConfig.model_fields.items()
    if field.annotation is Path or Path in get_args(field.annotation)
)

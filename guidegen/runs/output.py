"""Where a call writes its pictures: a folder of runs, or a picture beside one. Torch-free."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from guidegen.config import RunConfig
from guidegen.errors import InputImageError, OutputError
from guidegen.runs import exif
from guidegen.runs.metadata import read

_IMAGES = frozenset({".png", *exif.FORMATS})
_OTHER_IMAGES = frozenset({".avif", ".gif", ".bmp", ".tif", ".tiff"})


def is_picture(out: Path) -> bool:
    """Whether `out` names a picture rather than a folder."""
    return out.suffix.lower() in _IMAGES and not out.is_dir()


def runs_folder(out: Path) -> Path:
    """Where the run directories lie: in `out`, or in `outputs` beside a picture of that name."""
    return out.parent / "outputs" if is_picture(out) else out


def check_writable(out: Path) -> None:
    """Refuse an output place before any work starts.

    Raises:
        OutputError: pictures can't be written there, and why.
    """
    if out.suffix.lower() in _OTHER_IMAGES and not out.is_dir():
        raise OutputError(
            f"pictures are PNG, JPEG or WebP files; name {out.with_suffix('.png')}", field="out"
        )
    folders = {runs_folder(out), out.parent} if is_picture(out) else {out}
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder) as probe:
                probe.write(b"guidegen")
        except FileExistsError:
            raise OutputError(
                f"{folder} is a file, not a folder; name another", field="out"
            ) from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise OutputError(
                f"can't write to {folder}: {why}; name another", field="out"
            ) from None


def picture_path(
    out: Path,
    config: RunConfig,
    *,
    index: int = 0,
    total: int = 1,
    data: bytes = b"",
    force: bool = False,
) -> Path | None:
    """Where a copy of a picture goes when the user named a file.

    Args:
        out: what the user named.
        config: of the picture, resolved.
        index: which of the pictures of this call, from 0.
        total: how many there are; several are numbered `x-1.png`, `x-2.png`.
        data: what will be written; tells pictures without metadata.
        force: replace whatever lies there.

    Returns:
        The path, or None where `out` is a folder. Only a picture of the same settings is replaced;
        beside any other file the next free number is taken.
    """
    if not is_picture(out):
        return None
    if total > 1:
        out = out.with_stem(f"{out.stem}-{index + 1}")
    path, number = out, 1
    while path.exists() and not force and not _is_same(path, config, data):
        number += 1
        path = out.with_stem(f"{out.stem}-{number}")
    return path


def _is_same(path: Path, config: RunConfig, data: bytes) -> bool:
    """Whether a file is a picture that these settings made."""
    with suppress(InputImageError):
        return read(path).config.digest() == config.digest()
    with suppress(OSError):
        return path.stat().st_size == len(data) and path.read_bytes() == data
    return False

"""Getting a published checkpoint: whole and verified, or not at all. Torch-free.

Files of a hub repository go through huggingface_hub, its cache and its settings (HF_HOME,
HF_HUB_CACHE, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN). Any other place is read by plain HTTPS into
`<store>/.downloads`, where a transfer that broke off goes on at the next pull.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guidegen.errors import WeightsError
from guidegen.utils.files import make_folder
from guidegen.weights.catalog import Checkpoint, Source
from guidegen.weights.digests import LOCK, mismatch, recorded
from guidegen.weights.http import Progress, Refused, complete, one_line
from guidegen.weights.hub import offline, quiet_hub, require_hub
from guidegen.weights.store import is_web_page, sha256_file

Note = Callable[[str], None]
"""Called with a line for people."""


@dataclass(frozen=True)
class Fetched:
    """A checkpoint file that is whole and what it should be.

    Attributes:
        path: where it lies.
        sha256: of its bytes, in hex.
        source: where it came from; for a hub file with the commit.
        key: under which its digest is recorded where none was published.
        ours: whether it lies in our own folder, and not in the hub's cache.
    """

    path: Path
    sha256: str
    source: str
    key: str
    ours: bool


def fetch(
    checkpoint: Checkpoint,
    store: Path,
    *,
    progress: Progress = lambda done, total: None,
    note: Note = lambda text: None,
) -> Fetched:
    """Get the file of a checkpoint from the first source that has it.

    Args:
        checkpoint: of the registry.
        store: `guidegen.weights.store.store_folder()`.
        progress: told how far a plain download is.
        note: told which source is tried, and why one failed.

    Raises:
        WeightsError: no source has it; the message says why, for each of them.
        OutputError: the disk is full or can't be written.
    """
    reasons = []
    for source in checkpoint.sources:
        try:
            note(f"{checkpoint.name} ({checkpoint.size_text}) from {source.label}")
            return _from_source(checkpoint, source, store, progress)
        except Refused as error:
            reasons.append(f"{source.label}: {error}")
            note(reasons[-1])
    only_cache = " (HF_HUB_OFFLINE is set, so only the cache was looked at)" if offline() else ""
    raise WeightsError(
        f"can't get {checkpoint.name}{only_cache}: {'; '.join(reasons)}. Without a connection, "
        f"copy its file here and import it as {checkpoint.name}: guidegen models import"
    )


def in_hub_cache(source: Source) -> Path | None:
    """The file of a hub source in the cache, whatever its commit; None where there is none.

    Looks by itself, since importing huggingface_hub takes half a second.
    """
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    folder = cache / f"models--{source.hub.replace('/', '--')}" / "snapshots"
    return next((path for path in sorted(folder.glob(f"*/{source.path}")) if path.is_file()), None)


def _from_source(
    checkpoint: Checkpoint, source: Source, store: Path, progress: Progress
) -> Fetched:
    size = None if source.other else checkpoint.size
    label = source.label
    if source.hub:
        path = _from_hub(source)
        # the cache names the folder after the commit
        if "snapshots" in path.parts:
            commit = path.parts[path.parts.index("snapshots") + 1]
            label = f"hf://{source.hub}@{commit}/{source.path}"
    else:
        folder = make_folder(store / ".downloads" / checkpoint.name.replace("/", "--"))
        path = folder / f"{hashlib.sha256(source.url.encode()).hexdigest()[:8]}-{source.file}"
        if not path.exists():
            if offline():
                raise Refused("not tried, since HF_HUB_OFFLINE is set")
            part = path.with_name(f"{path.name}.part")
            complete(source.url, part, size, progress)
            _replace(part, path)
    key = f"{checkpoint.name} {source.label}" if source.other else checkpoint.name
    try:
        sha256 = _verified(path, checkpoint, source, store, key)
    except Refused:
        if not source.hub:
            path.unlink(missing_ok=True)
        raise
    return Fetched(path, sha256, label, key, ours=not source.hub)


def _verified(path: Path, checkpoint: Checkpoint, source: Source, store: Path, key: str) -> str:
    """Compare length and digest with those published, or with those of the first pull."""
    there = path.stat().st_size
    if not source.other and checkpoint.size not in (None, there):
        raise Refused(f"is {there} bytes long, not {checkpoint.size}")
    with path.open("rb") as file:
        if is_web_page(file.read(1024)):
            raise Refused("looks like a web page, not like weights")
    sha256 = sha256_file(path)
    published = "" if source.other else checkpoint.sha256
    if published and sha256 != published:
        raise Refused(f"its SHA-256 is {sha256}, not the published {published}")
    before = recorded(store, key)
    if not published and before and sha256 != before:
        raise Refused(mismatch(store / LOCK, key, before, sha256))
    return sha256


def _from_hub(source: Source) -> Path:
    # 0.5 s to import, and it reads its settings from the environment at that moment
    from huggingface_hub import hf_hub_download

    if in_hub_cache(source) is None and not offline():
        try:
            require_hub("the file")
        except WeightsError as error:
            raise Refused(str(error).partition(";")[0]) from error
    try:
        with quiet_hub():
            found = hf_hub_download(
                source.hub, source.path, revision=source.revision, local_files_only=offline()
            )
    except Exception as error:
        # httpx, the hub and the operating system raise a dozen types
        if offline():
            raise Refused("is not in the hub's cache") from error
        raise Refused(one_line(error)) from error
    return Path(found)


def _replace(part: Path, path: Path) -> None:
    part.replace(path)
    part.with_name(f"{part.name}.json").unlink(missing_ok=True)

"""Pull: fetch a published checkpoint, verify it, and put it where `--generator` finds it."""

from dataclasses import dataclass
from pathlib import Path

from guidegen.errors import GuidegenError
from guidegen.utils.files import make_folder
from guidegen.utils.locks import locked
from guidegen.weights.catalog import CLIP, Checkpoint
from guidegen.weights.digests import record
from guidegen.weights.download import Note, fetch, in_hub_cache
from guidegen.weights.http import Progress
from guidegen.weights.hub import require_hub
from guidegen.weights.store import find_stored, sha256_file, store_folder


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        name: as `--generator` or `--perceptor` takes it.
        path: the folder in the store, or the file in the hub's cache.
        sha256: of the weights that are used.
        dropped: first part of the name -> how many tensors were not needed.
        already: it was here before.
    """

    name: str
    path: Path
    sha256: str
    dropped: dict[str, int]
    already: bool = False


def pull(
    checkpoint: Checkpoint,
    *,
    force: bool = False,
    progress: Progress = lambda done, total: None,
    note: Note = lambda text: None,
) -> Pulled:
    """Get a checkpoint, unless it is here.

    Args:
        checkpoint: of the registry.
        force: get it again, and replace what is here.
        progress: told how far a plain download is.
        note: told which source is tried, and why one failed.

    Raises:
        WeightsError: no source has it whole and right, or it can't be imported.
        OutputError: the disk is full or can't be written, or another process pulls the same.
    """
    store = store_folder()
    if checkpoint.family == CLIP:
        return _pull_clip(checkpoint, store)
    present = None if force else find_stored(checkpoint.name)
    if present is not None:
        present.check()
        return Pulled(checkpoint.name, present.folder, present.sha256, {}, already=True)
    from guidegen.weights.convert import import_checkpoint

    folder = make_folder(store / ".downloads" / checkpoint.name.replace("/", "--"))
    with locked(folder, checkpoint.name):
        fetched = fetch(checkpoint, store, progress=progress, note=note)
        try:
            done = import_checkpoint(
                fetched.path,
                checkpoint.name,
                store,
                published=checkpoint,
                origin={"source": fetched.source, "file_sha256": fetched.sha256},
                force=force,
            )
            # only now is it worth remembering: a file that is no model is no reference
            record(store, fetched.key, fetched.sha256)
        except GuidegenError:
            # what is surely the published file need not be fetched again
            if fetched.ours and fetched.sha256 != checkpoint.sha256:
                fetched.path.unlink(missing_ok=True)
            raise
        if fetched.ours:
            fetched.path.unlink(missing_ok=True)
    return Pulled(checkpoint.name, done.folder, done.sha256, dict(done.dropped), done.already)


def _pull_clip(checkpoint: Checkpoint, store: Path) -> Pulled:
    """CLIP models stay where open_clip looks for them: in the hub's cache."""
    here = any(in_hub_cache(source) for source in checkpoint.sources)
    from guidegen.weights.open_clip_weights import HUB, fetch_hub, fetch_zoo, split_zoo_name

    if not here:
        require_hub(checkpoint.name)
    name = checkpoint.name
    path = fetch_hub(name) if name.startswith(HUB) else fetch_zoo(*split_zoo_name(name))
    sha256 = sha256_file(path)
    record(store, checkpoint.name, sha256)
    return Pulled(checkpoint.name, path, sha256, {}, already=here)

"""The composition root: configs in, finished pictures out."""

from collections.abc import Iterator, Sequence

from guidegen.config import RunConfig
from guidegen.engine.models import open_session
from guidegen.engine.picture import Picture, digest_of
from guidegen.engine.resolve import check, resolve
from guidegen.engine.stream import Recorders, Stream
from guidegen.errors import ConfigError
from guidegen.runs.store import Run
from guidegen.utils.stop import Stop

__all__ = ["Picture", "check_same", "generate"]


def generate(
    configs: Sequence[RunConfig],
    *,
    stop: Stop | None = None,
    recorders: Recorders | None = None,
    write: bool = True,
    force: bool = False,
) -> Iterator[Picture]:
    """Make the pictures; yields each as soon as it is finished.

    Args:
        configs: one per picture. Those that differ only in prompt, negative prompts and seed
            advance together, and models are loaded once.
        stop: looked at after every step. Once it is set, the pictures at hand are yielded as they
            are, with the status "interrupted", and no others are begun.
        recorders: makes the recorders of one batch from its configs (progress, say).
        write: write run directories and pictures.
        force: make a picture again although an identical run is finished.

    Raises:
        RunInterruptedError: after a KeyboardInterrupt; the pictures so far are written as
            "interrupted".
        GuidegenError: as `check`, before any work; or broken weights.
    """
    with Stream(configs, stop=stop, recorders=recorders, write=write, force=force) as stream:
        for event in stream.events():
            if isinstance(event, Picture):
                yield event


def check_same(run: Run) -> None:
    """Refuse to go on with a run that would not become what it was to become.

    Raises:
        ConfigError: another guidegen or other weights made its beginning.
        GuidegenError: as `check`.
    """
    check([run.config])
    session = open_session(resolve(run.config))
    if digest_of(run.config, session) != run.digest:
        changed = [
            name for name, digest in session.digests.items() if run.models.get(name) != digest
        ]
        theirs = run.versions.get("guidegen", "unknown")
        why = f"the weights of {', '.join(changed)} changed" if changed else f"by guidegen {theirs}"
        raise ConfigError(
            f"{run.path} was begun with other code or weights ({why}) and can't go on exactly; "
            "make it anew with the command in its run.json"
        )

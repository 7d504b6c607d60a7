"""Starting where another run was: its latents at one of the steps that it recorded."""

from bisect import bisect_right

from guidegen.config import RunConfig
from guidegen.config.init_run import parse_init_run
from guidegen.engine.defaults import fill
from guidegen.errors import ConfigError, InputImageError
from guidegen.interfaces import Latents
from guidegen.recorders.trajectory import read_trajectory
from guidegen.runs.store import Run, run_folder


def check_init_run(config: RunConfig) -> None:
    """Refuse a run whose latents mean nothing to the generator, or that recorded none.

    Raises:
        GuidegenError: about the field `init_run`.
    """
    assert config.init_run is not None
    run = Run.load(run_folder(parse_init_run(config.init_run)[0]))
    if config.init_image is not None or config.start_from not in (None, "none"):
        raise ConfigError("a run starts from one thing: leave init_image and start_from out")
    ours, theirs = fill(config), run.config
    for name in ("generator", "size", "option"):
        if getattr(ours, name) != getattr(theirs, name):
            was, now = _words(getattr(theirs, name)), _words(getattr(ours, name))
            raise ConfigError(f"that run was drawn with {name} {was}, not {now}")
    _read(config.init_run)


def init_latents(text: str) -> Latents:
    """The latents of a run at a step, as a batch of one.

    Where the run recorded each n-th step only, those of the last one before.

    Args:
        text: as `RunConfig.init_run`.

    Raises:
        GuidegenError: there is no run, or it recorded none.
    """
    latents, index = _read(text)
    return {name: value[index : index + 1] for name, value in latents.items()}


def _read(text: str) -> tuple[Latents, int]:
    path, step = parse_init_run(text)
    found = read_trajectory(run_folder(path))
    if found is None or not found.steps:
        raise InputImageError(f"{path} recorded no latents to start from")
    if step is None:
        return found.latents, len(found.steps) - 1
    if not found.steps[0] <= step <= found.steps[-1]:
        raise InputImageError(
            f"{path} recorded the steps {found.steps[0]} to {found.steps[-1]}, not {step}"
        )
    return found.latents, bisect_right(found.steps, step) - 1


def _words(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)

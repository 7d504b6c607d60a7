"""The flags of commands that can work on Ray."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from guidegen.errors import ConfigError

if TYPE_CHECKING:
    from guidegen.batch.on_ray.cluster import Cluster

Engine = Annotated[
    Literal["local", "ray"] | None,
    Parameter(help="local works in this process; ray on all devices here, or on a cluster."),
]
Address = Annotated[str | None, Parameter(help="Ray cluster: auto, or HOST:PORT.")]
Workers = Annotated[int | None, Parameter(help="Ray workers [default: one a GPU, else a core].")]
Cores = Annotated[
    int | None, Parameter(name="--cores-per-worker", help="CPU cores of a Ray worker.")
]


def named_cluster(
    engine: str | None, address: str | None, workers: int | None, cores: int | None
) -> "Cluster | None":
    """The cluster that the flags mean; None where this process does the work.

    Raises:
        ConfigError: flags that contradict each other, or Ray is not installed.
    """
    far = {"--address": address, "--workers": workers, "--cores-per-worker": cores}
    named = [flag for flag, value in far.items() if value is not None]
    if engine == "local" and named:
        raise ConfigError(f"{named[0]} is for --engine ray; leave --engine out")
    for flag, value in (("--workers", workers), ("--cores-per-worker", cores)):
        if value is not None and value < 1:
            raise ConfigError(f"{flag}: at least 1, not {value}")
    if engine != "ray" and not named:
        return None
    from guidegen.batch.on_ray.cluster import Cluster, require_ray

    require_ray()
    return Cluster(address, workers, cores)

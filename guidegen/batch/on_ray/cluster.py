"""Ray, for as long as it is needed: a cluster that runs, or one that is started here."""

import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from guidegen.batch.on_ray.address import check_address
from guidegen.errors import ConfigError, GuidegenError


@dataclass(frozen=True)
class Cluster:
    """Where workers are, and how many.

    Attributes:
        address: "auto" or HOST:PORT of a cluster; None starts one on this machine.
        workers: how many; None for one a GPU, or where there is none for all cores.
        cores: CPU cores of each, which are its threads too; None is one, and with GPUs whatever Ray
            gives.
    """

    address: str | None = None
    workers: int | None = None
    cores: int | None = None


def require_ray() -> None:
    """Refuse early where Ray is not installed.

    Raises:
        ConfigError: it is not; says how to get it.
    """
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise ConfigError("ray needs Ray: pip install 'guidegen[ray]'", field="engine")


@contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """The module ray, connected; what was started here ends with the block.

    Raises:
        ConfigError: the address is none.
        GuidegenError: the cluster can't be reached.
    """
    check_address(cluster.address)
    # nothing is sent anywhere without being asked for
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if cluster.address is None:  # whoever reaches a cluster's ports may run code on it
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with _own_handlers():
        import ray

        started = not ray.is_initialized()
        if started:
            _connect(ray, cluster)
    try:
        yield ray
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, cluster: Cluster) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {}
    if cluster.address is None:
        options["include_dashboard"] = False
        if cluster.workers and not _gpus():
            # as many as were asked for, also beyond the cores
            options["num_cpus"] = max(os.cpu_count() or 1, cluster.workers * (cluster.cores or 1))
    try:
        ray.init(
            # "local" also where RAY_ADDRESS names a cluster
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **options,
        )
    except Exception as error:  # a start that takes too long is a bare one
        where = cluster.address or "this machine"
        why = " ".join(str(error).split())
        raise GuidegenError(f"no Ray cluster at {where}: {why[:200]}") from None


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Ray puts its own in place of those for Ctrl-C and SIGTERM, which would end us at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()

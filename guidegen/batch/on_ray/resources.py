"""What workers on Ray have alike: their share of a machine, and where they stand."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """One worker's share of a cluster: one GPU, or where there is none some CPU cores.

    Attributes:
        ray: the module.
        gpu: it has one.
        cores: CPU cores of it.
        threads: of PyTorch in it; None leaves them to Ray.
    """

    ray: Any
    gpu: bool
    cores: int
    threads: int | None

    @staticmethod
    def of(ray: Any, cores: int | None) -> "Share":
        """What a worker gets on the cluster that `ray` is connected to.

        Args:
            ray: the module.
            cores: CPU cores of each; None is one, and with GPUs whatever Ray gives.
        """
        gpu = ray.cluster_resources().get("GPU", 0) > 0
        return Share(ray, gpu, cores or 1, cores if gpu else cores or 1)

    @property
    def options(self) -> dict[str, Any]:
        """As `ray.remote` takes it."""
        return {"num_cpus": self.cores, **({"num_gpus": 1} if self.gpu else {})}

    def room(self) -> int:
        """For how many workers the cluster has room at this moment; at least one."""
        resources = self.ray.cluster_resources()
        if self.gpu:
            return max(1, int(resources.get("GPU", 0)))
        return max(1, int(resources.get("CPU", 0)) // self.cores)


def surroundings() -> tuple[str, dict[str, str]]:
    """The driver's folder and its settings of guidegen in the environment, for `settle`."""
    return os.getcwd(), {k: v for k, v in os.environ.items() if k.startswith("GUIDEGEN_")}


def settle(threads: int | None, folder: str, environment: Mapping[str, str]) -> None:
    """Stand where the driver stands, so that relative paths mean what they mean there.

    Args:
        threads: of PyTorch; None leaves them.
        folder: the driver's.
        environment: the driver's settings of guidegen.
    """
    import torch

    os.environ.update(environment)
    with suppress(OSError):
        os.chdir(folder)
    if threads:
        torch.set_num_threads(threads)

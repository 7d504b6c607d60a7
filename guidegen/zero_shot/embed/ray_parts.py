"""Parts of features computed by Ray's workers, each with its model loaded once.

Whoever is idle gets the next part. A worker that dies is started again and its part is done again;
parts that are written stay, so that the same call goes on after the driver was killed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from guidegen.batch.on_ray.cluster import Cluster, connected
from guidegen.batch.on_ray.resources import Share, settle, surroundings
from guidegen.clip.open_clip_perceptor import CLIPPerceptor
from guidegen.errors import ConfigError, GuidegenError
from guidegen.utils.failpoints import failpoint
from guidegen.zero_shot.embed.parts import PLAN, Part, missing_parts, write_part
from guidegen.zero_shot.models import open_clip_model

# How often a worker is started again, and its part with it.
_TRIES = 3


class PartWorker:
    """Lives in a process of its own, maybe on another machine; becomes a Ray actor."""

    def __init__(
        self,
        perceptor: str,
        device: str,
        threads: int | None,
        folder: str,
        environment: Mapping[str, str],
    ) -> None:
        settle(threads, folder, environment)
        self._given = perceptor, device

    @cached_property
    def model(self) -> CLIPPerceptor:
        """Loaded when it is first needed, so that what is wrong with it can be told."""
        return open_clip_model(*self._given)

    def digest(self) -> str:
        """Of the model's weights."""
        return self.model.digest

    def write(self, out: Path, part: Part) -> tuple[str, ...]:
        """Compute and write a part; see `write_part`."""
        if not (out / PLAN).is_file():  # the driver wrote it
            raise ConfigError(f"a worker does not see {out}; it must be on shared storage")
        import ray

        again = ray.get_runtime_context().was_current_actor_reconstructed
        failpoint("part", f"{part.number}{'-again' * again}")
        return write_part(out, part, self.model)


def write_on_ray(
    cluster: Cluster,
    out: Path,
    paths: Sequence[Path],
    texts: Sequence[str],
    *,
    perceptor: str,
    device: str,
) -> Iterator[str]:
    """Compute what is missing; see `guidegen.zero_shot.embed.files.write_embeddings`."""
    out = out.absolute()
    paths = [path.absolute() for path in paths]
    with connected(cluster) as ray:
        from ray.util import ActorPool

        workers = _workers(ray, cluster, perceptor, device)
        try:
            digest = _told(ray, lambda: ray.get(workers[0].digest.remote()))
            todo = missing_parts(out, paths, texts, perceptor=perceptor, digest=digest)
            pool = ActorPool(workers)
            done = pool.map_unordered(lambda worker, part: worker.write.remote(out, part), todo)
            while (errors := _told(ray, lambda: next(done, None))) is not None:
                yield from errors
        finally:
            for worker in workers:
                with suppress(Exception):
                    ray.kill(worker)


def _workers(ray: Any, cluster: Cluster, perceptor: str, device: str) -> list[Any]:
    share = Share.of(ray, cluster.cores)
    again = {"max_restarts": _TRIES, "max_task_retries": _TRIES}
    actor = ray.remote(**share.options, **again)(PartWorker)
    given = (perceptor, device, share.threads, *surroundings())
    return [actor.remote(*given) for _ in range(cluster.workers or share.room())]


def _told(ray: Any, ask: Any) -> Any:
    """An answer of the workers; what goes wrong with them is one line.

    Raises:
        GuidegenError: that of the worker, or it died time and again.
    """
    try:
        return ask()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, GuidegenError):
            raise error.cause from None
        why = " ".join(str(error.cause).split())
        raise GuidegenError(f"a worker failed: {type(error.cause).__name__}: {why[:300]}") from None
    except ray.exceptions.RayError as error:
        why = " ".join(str(error).split())
        raise GuidegenError(
            f"a worker was lost {_TRIES + 1} times; what is written stays ({why[:300]})"
        ) from None

"""The latents over time, from which a video can be rendered later at any rate.

While the run goes, they lie in parts, `trajectory-<step>.safetensors`, one for each time that the
run saved its state; at the end they become one `trajectory.safetensors`.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidegen.errors import WeightsError
from guidegen.interfaces import Latents, Step
from guidegen.recorders import Write
from guidegen.utils.parse import parse_json

log = logging.getLogger(__name__)

FILE = "trajectory.safetensors"
# A video needs a start, an end and something between.
_FEWEST = 4
_PART = re.compile(r"trajectory-(\d+)\.safetensors")


@dataclass(frozen=True)
class Stored:
    """A trajectory as it lies on disk.

    Attributes:
        steps: the T step numbers, rising.
        latents: name -> [T, ...].
        total: steps of the run.
    """

    steps: Sequence[int]
    latents: Latents
    total: int


class Trajectory:
    """Records each latent of one candidate as [T, ...].

    The file's metadata: "steps", a JSON list of the T step indices; "total", the steps of the run;
    "every". A run that breaks off leaves the trajectory up to there. Where all steps would be too
    much, they are kept in half precision, and where that is too much as well, each n-th is kept;
    four states at least, however large one is.

    Args:
        folder: the run directory.
        write: writes a whole file of it under a name, or nothing.
        row: which candidate.
        every: keeps each n-th step, and the last.
        max_bytes: how large it may grow; see `RunConfig.trajectory`.
        resume_at: the run goes on at this step, so what was recorded stays.
    """

    def __init__(
        self,
        folder: Path,
        write: Write,
        *,
        row: int = 0,
        every: int = 1,
        max_bytes: int = 32 * 2**20,
        resume_at: int = 0,
    ) -> None:
        if every < 1:
            raise ValueError(f"every {every} steps is not possible; it starts at 1")
        self.folder = folder
        self.write = write
        self.row = row
        self.every = every
        self.max_bytes = max_bytes
        self.resume_at = resume_at
        self._half = False
        self._total: int | None = None
        self._steps: list[int] = []
        self._latents: dict[str, list[Tensor]] = {}
        self._fetched = 0

    def __call__(self, step: Step) -> None:
        """Keep the latents, if it is their turn."""
        if self._total is None:
            self._begin(step)
        if step.index % self.every and step.index != step.total:
            return
        self._steps.append(step.index)
        for name, latent in step.latents.items():
            self._latents.setdefault(name, []).append(self._kept(latent[self.row].detach()))
        if len(self._steps) - self._fetched >= 32:
            self._fetch()

    def save(self) -> None:
        """Write what is not on the disk yet as one more part."""
        if not self._steps:
            return
        self._fetch()
        latents = {name: _stacked(values) for name, values in self._latents.items()}
        part = Stored(tuple(self._steps), latents, self._total or 0)
        self.write(f"trajectory-{self._steps[0]}.safetensors", self._pack(part))
        self._steps, self._latents, self._fetched = [], {}, 0

    def close(self) -> None:
        """Join the parts into one file, if there was any step."""
        if self._total is None:
            return
        self.save()
        whole = read_trajectory(self.folder, full=False)
        if whole is not None:
            self.write(FILE, self._pack(whole))
        for _, path in _parts(self.folder):
            path.unlink(missing_ok=True)

    def _begin(self, step: Step) -> None:
        self._total = step.total
        latents = [latent[self.row] for latent in step.latents.values()]
        one = sum(latent.nbytes for latent in latents)
        states = step.total // self.every + 2  # the first and the last are among them
        if one * states > self.max_bytes:
            self._half = True
            one = sum(latent.nbytes // (2 if _wide(latent) else 1) for latent in latents)
            most = max(_FEWEST, self.max_bytes // max(1, one))
            self.every = max(self.every, -(-step.total // (most - 1)))
        # what lies there of a run that goes on is right: the steps to come are the same again
        if not self.resume_at:
            remove_trajectory(self.folder)

    def _kept(self, latent: Tensor) -> Tensor:
        """A copy, since a view would keep the whole batch in memory; in the precision to come.

        On a GPU that waits for `_fetch`: to look at the values would hold up every step.
        """
        kept = self._narrowed(latent) if latent.device.type == "cpu" else latent
        return latent.clone() if kept is latent else kept

    def _narrowed(self, latent: Tensor) -> Tensor:
        """In half precision, if it is to be and can be."""
        return latent.half() if self._half and _fits_half(latent) else latent

    def _fetch(self) -> None:
        """Bring the latents to the CPU, many at once; the device's memory is needed elsewhere."""
        for latents in self._latents.values():
            latents[self._fetched :] = [
                self._narrowed(latent.cpu()) for latent in latents[self._fetched :]
            ]
        self._fetched = len(self._steps)

    def _pack(self, part: Stored) -> bytes:
        metadata = {
            "steps": json.dumps(list(part.steps)),
            "total": str(part.total),
            "every": str(self.every),
        }
        return save({n: v.contiguous() for n, v in part.latents.items()}, metadata)


def _wide(latent: Tensor) -> bool:
    return latent.dtype == torch.float32


def _fits_half(latent: Tensor) -> bool:
    """Whether IEEE's half precision holds the values: 11 bits of each, up to 65504."""
    return _wide(latent) and bool((latent.abs() <= torch.finfo(torch.float16).max).all())


def _stacked(latents: Sequence[Tensor]) -> Tensor:
    """Latents [...] of T steps as [T, ...], in full precision if one of them needs it."""
    if len({latent.dtype for latent in latents}) > 1:
        latents = [_full(latent) for latent in latents]
    return torch.stack(list(latents))


def read_trajectory(folder: Path, *, full: bool = True) -> Stored | None:
    """The trajectory of a run, finished or not; None where there is none.

    A run that was killed and went on may have recorded a step twice; both are the same.

    Args:
        folder: the run directory.
        full: in full precision, though it lies there in half.

    Raises:
        WeightsError: the whole file is damaged. A damaged part is only left out, with a warning.
    """
    if (folder / FILE).is_file() and not _parts(folder):
        return _read(folder / FILE, full=full)
    steps: dict[int, tuple[Stored, int]] = {}
    for part in _readable(folder, full=full):
        steps |= {index: (part, i) for i, index in enumerate(part.steps)}
    if not steps:
        return None
    order = sorted(steps)
    found = [steps[index] for index in order]
    names = found[0][0].latents
    latents = {name: _stacked([part.latents[name][i] for part, i in found]) for name in names}
    return Stored(order, latents, found[0][0].total)


def _full(latent: Tensor) -> Tensor:
    return latent.float() if latent.dtype == torch.float16 else latent


def remove_trajectory(folder: Path) -> None:
    """Remove the trajectory of a run and its parts."""
    for path in [folder / FILE, *(path for _, path in _parts(folder))]:
        path.unlink(missing_ok=True)


def _readable(folder: Path, *, full: bool) -> Iterator[Stored]:
    whole = [folder / FILE] if (folder / FILE).is_file() else []
    for path in [*whole, *(path for _, path in _parts(folder))]:
        try:
            yield _read(path, full=full)
        except WeightsError as error:
            log.warning("%s; the video will lack these steps", error)


def _parts(folder: Path) -> list[tuple[int, Path]]:
    found = ((_PART.fullmatch(path.name), path) for path in folder.glob("trajectory-*.safetensors"))
    return sorted((int(match[1]), path) for match, path in found if match)


def _read(path: Path, *, full: bool) -> Stored:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            latents = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if full:
            latents = {name: _full(value) for name, value in latents.items()}
        steps = [int(index) for index in parse_json(about["steps"])]
        if any(len(values) != len(steps) for values in latents.values()):
            raise ValueError("its latents and steps differ in number")
        return Stored(steps, latents, int(about["total"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None

"""How each kind of job is drawn."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from guidegen.engine.begin.starts import draw_starts
from guidegen.engine.picture import Picture
from guidegen.engine.stream import Stream
from guidegen.engine.stream_step import StreamStep
from guidegen.studio.queue.drawer import Room
from guidegen.studio.queue.jobs import Job
from guidegen.studio.queue.lists import draw_cells, draw_list
from guidegen.studio.queue.live import SIDE, as_jpeg
from guidegen.utils.files import write_atomic

if TYPE_CHECKING:
    from guidegen.studio.studio import Studio


def pictures(studio: "Studio", job: Job, room: Room) -> None:
    """Draw all pictures of a job; those that can advance together do."""
    done = 0
    runs = dict(job.runs)
    configs = studio.configs(job)
    numbers = {(config.seed, config.pick): number for number, config in enumerate(configs)}
    stream = Stream(configs, stop=room.stop, recorders=lambda _: [room.watch])
    with closing(stream.events()) as events:
        for event in events:
            if isinstance(event, StreamStep):
                _show(studio, job, room, event, runs)
                continue
            number = numbers[event.config.seed, event.config.pick]
            done += event.status == "finished"
            if event.run is not None:
                runs[number] = studio.places.name(event.run.path)
            studio.queue.change(job.id, runs=runs, done=done)
            studio.broker.publish("run", runs.get(number, ""), _ended(job, number, event, runs))


def _show(studio: "Studio", job: Job, room: Room, step: StreamStep, runs: dict[int, str]) -> None:
    if step.folder is not None and step.candidate not in runs:
        runs[step.candidate] = studio.places.name(step.folder)
        studio.queue.change(job.id, runs=runs)
    if room.live.see(step.candidate, step):
        studio.broker.publish("step", job.id, room.live.event(job.id))


def _ended(job: Job, number: int, picture: Picture, runs: dict[int, str]) -> dict[str, object]:
    return {
        "job": job.id, "n": number, "run": runs.get(number, ""), "status": picture.status,
        "scores": picture.scores, "reused": picture.reused,
    }  # fmt: skip


def starts(studio: "Studio", job: Job, room: Room) -> None:
    """Draw the starts of a prompt and seed, numbered from 1 as `RunConfig.pick` takes them."""
    config = studio.configs(job)[0]
    losses: list[float] = []
    for start in draw_starts(config, job.total):
        start.image.thumbnail((SIDE, SIDE))
        path = start_path(studio, job, len(losses))
        write_atomic(path, as_jpeg(start.image), durable=False)
        losses.append(start.loss)
        studio.queue.change(job.id, done=len(losses), more={**job.more, "losses": losses})
        room.give_way()
        if room.stop:
            return


def start_path(studio: "Studio", job: Job, number: int) -> Path:
    """Where the small picture of a start is kept, so that it can be chosen after a restart."""
    folder = studio.places.own / "starts"
    folder.mkdir(exist_ok=True)
    return folder / f"{job.id}-{number}.jpg"


DRAWERS: dict[str, Callable[["Studio", Job, Room], None]] = {
    "pictures": pictures,
    "starts": starts,
    "list": draw_list,
    "grid": draw_cells,
}

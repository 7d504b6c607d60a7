"""The studio behind its page: one output folder, its queue, what draws it, and its wall."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guidegen.config import DRAW, RunConfig, make_config
from guidegen.errors import ConfigError
from guidegen.runs.store import Run
from guidegen.studio import form
from guidegen.studio.events import Broker
from guidegen.studio.places import Places
from guidegen.studio.prune import prune
from guidegen.studio.queue.drawer import Drawer
from guidegen.studio.queue.jobs import Job, Queue
from guidegen.studio.queue.kinds import DRAWERS
from guidegen.studio.queue.lists import keep_list, open_grid, open_list
from guidegen.studio.queue.turns import Turns
from guidegen.studio.runs.errands import Errands
from guidegen.studio.runs.moments import Moments
from guidegen.studio.runs.search import RunSearch
from guidegen.studio.runs.wall import Wall


class Studio:
    """All that the page can ask for.

    Args:
        root: the output folder; it is there and can be written.
        defaults: RunConfig fields below those of the page.
    """

    def __init__(self, root: Path, defaults: Mapping[str, Any] | None = None) -> None:
        self.places = Places(root)
        self.places.own.mkdir(exist_ok=True)
        self.defaults = dict(defaults or {})
        self.broker, self.turns = Broker(), Turns()
        self._telling = threading.Lock()
        self.queue = Queue(self.places.own / "queue.json", self._queue_changed)
        self.drawer = Drawer(self.queue, self._draw, self.turns)
        self.wall = Wall(self.places)
        self.errands = Errands(self.turns, self.broker)
        self.search = RunSearch(self.places.root, self.turns, self.broker)
        self.moments = Moments()

    def start(self) -> None:
        """Begin with what waits in the queue."""
        threading.Thread(target=prune, args=(self.places, self.queue), daemon=True).start()
        self.drawer.start()

    def close(self) -> None:
        """Save what is being drawn; it goes on at the next start."""
        self.drawer.close()
        self.search.close()
        self.errands.close()

    def settings(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the page above those that the studio was started with, its paths confined.

        Raises:
            GuidegenError: a path leads out of the output folder.
        """
        given = {name: value for name, value in fields.items() if value not in (None, "", [])}
        confined = self.places.confined(given, trusted=self.defaults)
        if str(confined.get("seed", "")).strip() == str(DRAW):
            confined["seed"] = DRAW
        preset = confined.get("preset")
        below = {} if preset else self.defaults
        return {**_placeless(below), **confined}

    def add(
        self,
        kind: str,
        fields: Mapping[str, Any],
        *,
        count: int = 1,
        picks: Sequence[int] = (),
    ) -> Job:
        """Put pictures of a prompt, or starts to choose from, into the queue.

        Args:
            kind: "pictures" or "starts".
            fields: RunConfig fields, as the page gave them.
            count: pictures with consecutive seeds, or starts of one seed.
            picks: numbers of the starts that each seed goes on from.

        Raises:
            GuidegenError: what can be refused before any work.
        """
        if kind not in ("pictures", "starts"):
            raise ConfigError(f"the studio draws pictures or starts, not {kind!r}")
        settings = self.settings(fields)
        configs = form.configs(settings, count=count * max(1, len(picks)))
        title = configs[0].title
        if kind == "starts":
            form.refuse_starts(configs[0], count)
            job = Job.new("starts", title, settings, seeds=[configs[0].seed], total=count)
        else:
            seeds = [config.seed for config in configs[:count]]
            job = Job.new(
                "pictures", title, settings, seeds=seeds, picks=list(picks), total=len(configs)
            )
            form.refuse(self.configs(job)[:1])
        self.queue.add(job)
        return job

    def add_list(self, name: str, data: bytes, fields: Mapping[str, Any], *, count: int) -> Job:
        """Put a list into the queue.

        Args:
            name: what the user called it.
            data: its text.
            fields: RunConfig fields of all lines, as the page gave them.
            count: pictures of each line.

        Raises:
            GuidegenError: lines or settings that can't be used.
        """
        path, settings = keep_list(self, name, data), self.settings(fields)
        jobs = open_list(self, path, settings, count)
        folder = self.places.name(jobs.settings["out"])
        own = path.relative_to(self.places.own).as_posix()
        more = {"list": own, "folder": folder, "count": count}
        total = jobs.total - len(jobs.repeats)
        job = Job.new("list", path.name, settings, more=more, total=total)
        self.queue.add(job)
        return job

    def add_grid(self, fields: Mapping[str, Any], x: str, y: str) -> Job:
        """Put a grid into the queue.

        Args:
            fields: RunConfig fields of all cells, as the page gave them.
            x: what varies from left to right, as `parse_axis` takes it.
            y: what varies from top to bottom.

        Raises:
            GuidegenError: what can be refused before any work.
        """
        settings = self.settings(fields)
        grid = open_grid(self, settings, x, y)
        labels = {"columns": grid.x.labels, "rows": grid.y.labels}
        more = {"x": x, "y": y, **labels}
        job = Job.new("grid", grid.configs[0].title, settings, more=more, total=len(grid.configs))
        self.queue.add(job)
        return job

    def go_on(self, name: str) -> Job:
        """Put a run that was stopped into the queue, to go on exactly where it is.

        Raises:
            GuidegenError: there is none, or other code or weights began it.
        """
        from guidegen.engine.generate import check_same

        path = self.places.run(name)
        run = Run.load(path)
        check_same(run)
        fields = run.config.model_dump(mode="json", exclude={"out", "seed", "minutes"})
        out = path.parent.relative_to(self.places.root).as_posix()
        job = Job.new(
            "pictures", run.config.title, fields, seeds=[run.config.seed], more={"out": out}
        )
        self.queue.add(job)
        return job

    def snapshot(self) -> list[dict[str, Any]]:
        """The queue as pages show it."""
        return [job.model_dump(mode="json") for job in self.queue.jobs()]

    def configs(self, job: Job) -> list[RunConfig]:
        """The pictures of a job."""
        own = {**job.fields, "out": self.places.root / job.more.get("out", "")}
        picked = [{"pick": number} for number in job.picks] or [{}]
        return [make_config({**own, "seed": seed, **pick}) for seed in job.seeds for pick in picked]

    def _queue_changed(self) -> None:
        # one at a time: an older state must not be told after a newer one
        with self._telling:
            self.broker.publish("queue", "", self.snapshot())
        self.drawer.poke()

    def _draw(self, job: Job, room: Any) -> None:
        DRAWERS[job.kind](self, job, room)


def _placeless(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "out"}

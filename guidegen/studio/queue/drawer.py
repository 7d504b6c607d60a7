"""Draws the jobs of the queue: several at a time, a step of each in turn.

Each job that is being drawn has a thread, and only the one whose turn it is computes. So no run
waits for another's end, and memory is bounded by how many are let in.
"""

import logging
import threading
import time
from collections.abc import Callable

from guidegen.errors import GuidegenError
from guidegen.interfaces import Step
from guidegen.studio.queue.jobs import Job, Queue
from guidegen.studio.queue.live import Live
from guidegen.studio.queue.turns import Turns
from guidegen.utils.stop import Stop

log = logging.getLogger(__name__)

# Jobs drawn at once. Others wait in the queue, and see their place.
MOST = 8
# Sets of models in memory at once; as many as the engine keeps.
_MODELS = 2
# Seconds that one round of turns may take, so that no preview stalls.
_ROUND = 4.0
PAUSED, STOPPED, CLOSING = "paused", "stopped", "the studio closed"


class Room:
    """What a job is drawn with.

    Attributes:
        stop: asks it to end; the reason is PAUSED, STOPPED or CLOSING.
        live: takes what it shows.
        watch: a recorder that gives way after every step.
    """

    def __init__(self, turns: Turns, live: Live) -> None:
        self.stop, self.live, self._turns = Stop(), live, turns
        self._since = time.monotonic()

    def watch(self, step: Step) -> None:
        """Give way to others after a step of the loop."""
        self.give_way()

    def give_way(self) -> None:
        """Let others compute, and note how long the turn was."""
        self.live.turn = time.monotonic() - self._since
        self._turns.give_way()
        self._since = time.monotonic()


# Draws a job to its end, or until it is stopped; raises if it fails.
Draw = Callable[[Job, Room], None]


class Drawer:
    """Draws what waits in the queue.

    Args:
        queue: the jobs.
        draw: draws one of them.
        turns: shared with whatever else computes.
    """

    def __init__(self, queue: Queue, draw: Draw, turns: Turns) -> None:
        self.queue, self._draw, self.turns = queue, draw, turns
        self._wake = threading.Condition()
        self._rooms: dict[str, Room] = {}
        self._lives: dict[str, Live] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closing = False
        self._loop = threading.Thread(target=self._admit, name="queue", daemon=True)

    def start(self) -> None:
        """Begin with what waits."""
        self._loop.start()

    def poke(self) -> None:
        """The queue changed."""
        with self._wake:
            self._wake.notify_all()

    def live(self, name: str) -> Live:
        """What is known of a job, empty if it is not being drawn."""
        return self._lives.get(name) or Live()

    def stop(self, name: str, why: str) -> None:
        """Pause or stop a job; what is done so far is saved.

        Raises:
            InputImageError: there is no such job.
        """
        job = self.queue.get(name)
        with self._wake:
            room = self._rooms.get(name)
            if room is not None:
                room.stop.set(why)
                return
        if job.state in ("waiting", "paused"):
            self.queue.change(name, state=why)

    def close(self) -> None:
        """Stop all; what is unfinished is saved and waits for the next start."""
        with self._wake:
            self._closing = True
            for room in self._rooms.values():
                room.stop.set(CLOSING)
            threads = list(self._threads.values())
            self._wake.notify_all()
        for thread in threads:
            thread.join()

    def _admit(self) -> None:
        while True:
            with self._wake:
                if self._closing:
                    return
                job = self._next()
                if job is None:
                    self._wake.wait(1.0)
                    continue
                room = Room(self.turns, Live())
                self._rooms[job.id], self._lives[job.id] = room, room.live
                thread = threading.Thread(target=self._run, args=(job, room), daemon=True)
                self._threads[job.id] = thread
                thread.start()

    def _next(self) -> Job | None:
        """The first job that waits, if there is room for it."""
        jobs = self.queue.jobs()
        known = {job.id for job in jobs}
        for name in [name for name in self._lives if name not in known]:
            del self._lives[name]
        job = next((job for job in jobs if job.state == "waiting"), None)
        if job is None or job.id in self._rooms or len(self._rooms) >= MOST:
            return None
        if not self._rooms:
            return job
        turns = [room.live.turn for room in self._rooms.values()]
        if sum(turns) * (len(turns) + 1) / len(turns) > _ROUND:
            return None
        running = {_models(one) for one in jobs if one.id in self._rooms}
        return job if len(running | {_models(job)}) <= _MODELS else None

    def _run(self, job: Job, room: Room) -> None:
        state, why = "finished", ""
        self.queue.change(job.id, state="running", why="")
        try:
            with self.turns.taken():
                self._draw(job, room)
            if room.stop:
                state = room.stop.reason if room.stop.reason in (PAUSED, STOPPED) else "waiting"
        except Exception as error:
            state, why = "failed", " ".join(str(error).split()) or type(error).__name__
            if not isinstance(error, GuidegenError):
                log.exception("a job failed")
                why = f"{type(error).__name__}: {why}"
        finally:
            self.queue.change(job.id, state=state, why=why)
            with self._wake:
                del self._rooms[job.id], self._threads[job.id]
                self._wake.notify_all()


def _models(job: Job) -> str:
    """Equal for jobs that need the same models."""
    names = ("generator", "option", "preset", "start_from", "size", "perceptor", "device")
    return repr(
        [job.kind if job.kind in ("list", "grid") else "", *(job.fields.get(n) for n in names)]
    )

"""What takes a while and is no drawing: videos, enlargements, labels; one after another."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from guidegen.errors import ConfigError, GuidegenError
from guidegen.runs.store import IMAGE, Run
from guidegen.studio.events import Broker
from guidegen.studio.queue.turns import Turns

T = TypeVar("T")


class Errands:
    """One thread for them, which gives way to the pictures that are being drawn.

    Args:
        turns: shared with what draws.
        broker: told how far a video is.
    """

    def __init__(self, turns: Turns, broker: Broker) -> None:
        self.turns, self.broker = turns, broker
        self._pool = ThreadPoolExecutor(1, "errand")
        self._closing = threading.Event()

    def do(self, work: Callable[[], T]) -> "Future[T]":
        """Compute something when its turn comes."""

        def in_turn() -> T:
            with self.turns.taken():
                return work()

        return self._pool.submit(in_turn)

    def close(self) -> None:
        """Leave what is not done."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def video(self, name: str, path: Path, seconds: float) -> None:
        """Make a video of a run beside it; pages are told how far it is.

        Args:
            name: how the page names the run.
            path: its directory.
            seconds: how long it plays.

        Raises:
            ConfigError: so long no video can be.
        """
        from guidegen.video.render import render
        from guidegen.video.settings import VideoSettings

        settings = VideoSettings(seconds=seconds, fps=30)
        run = Run.load(path)

        def progress(done: int, total: int) -> None:
            if self._closing.is_set():
                raise ConfigError("the studio closed")
            self._tell(name, "video", done / total)
            self.turns.give_way()

        self._follow(
            name, "video", lambda: render([run], path / "video.mp4", settings, progress=progress)
        )

    def upscale(self, name: str, path: Path, factor: int) -> None:
        """Enlarge the picture of a run beside it.

        Raises:
            GuidegenError: it can't be enlarged so much.
        """
        from guidegen.engine.resolve import choose_device
        from guidegen.media.upscale_file import check_upscale_file, upscale_file

        check_upscale_file(path / IMAGE, factor)
        self._follow(
            name,
            "upscale",
            lambda: upscale_file(path / IMAGE, factor, device=choose_device("auto")),
        )

    def _follow(self, name: str, kind: str, work: Callable[[], Path]) -> None:
        """Do it, and tell pages how it ended."""
        self._tell(name, kind, 0.0)
        future = self.do(work)

        def ended(done: "Future[Path]") -> None:
            with suppress(Exception):
                error = done.exception()
                if error is None:
                    self._tell(name, kind, 1.0, file=done.result().name)
                else:
                    why = str(error) if isinstance(error, GuidegenError) else repr(error)
                    self._tell(name, kind, 1.0, why=why)

        future.add_done_callback(ended)

    def _tell(self, name: str, kind: str, part: float, **more: Any) -> None:
        data = {"run": name, "kind": kind, "part": round(part, 3), **more}
        self.broker.publish("errand", f"{name} {kind}", data)

"""Which runs show what a text means: their pictures' index, asked by a thread of its own."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from guidegen.errors import OutputError, about
from guidegen.prompt.grammar import parse_prompt
from guidegen.studio.events import Broker
from guidegen.studio.queue.turns import Turns

# Seconds of computing after which what is drawn has a turn, and between two reports of progress.
_TURN = 0.5
# Answers that are kept for their further pages.
_KEPT = 8
# More than any folder holds: filters may leave the least similar runs.
_ALL = 1 << 30


class RunSearch:
    """Searches the runs of an output folder by meaning, in turn with what is being drawn.

    Args:
        root: the output folder; its index lies in it.
        turns: shared with what draws.
        broker: told how many of the pictures that are new to the index were looked at.
        perceptor: the CLIP, as `--perceptor` takes it.
    """

    def __init__(
        self, root: Path, turns: Turns, broker: Broker, *, perceptor: str = "embedded"
    ) -> None:
        self.root, self.turns, self.broker, self.perceptor = root, turns, broker, perceptor
        self._pool = ThreadPoolExecutor(1, "search")
        self._closing = threading.Event()
        self._answers: OrderedDict[str, Mapping[str, float]] = OrderedDict()

    def find(self, text: str, *, again: bool = False) -> "Future[Mapping[str, float]]":
        """The similarity of every run that has a picture, by its path in the output folder.

        Args:
            text: `text:weight`, parts joined by `|`; a negative weight looks away from it.
            again: take what was found for this text before, for one more page of it.

        Raises:
            PromptSyntaxError: at once, the text can't be read.
            GuidegenError: by the future, as `guidegen.search_runs`.
        """
        with about("meaning"):
            parse_prompt(text)
        return self._pool.submit(self._find, text, again)

    def close(self) -> None:
        """Stop; what the index took in is kept."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def _find(self, text: str, again: bool) -> Mapping[str, float]:
        from guidegen.zero_shot.models import open_clip_model
        from guidegen.zero_shot.search import search_runs

        if again and text in self._answers:
            return self._answers[text]
        open_clip_model(self.perceptor)  # read from the disk before the turn comes
        begun = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal begun
            if self._closing.is_set():
                raise OutputError("the studio closed")
            if time.monotonic() - begun > _TURN:
                self.broker.publish("search", "", {"done": done, "total": total})
                self.turns.give_way()
                begun = time.monotonic()

        with self.turns.taken():
            hits = search_runs(
                self.root, text, top=_ALL, perceptor=self.perceptor, progress=progress
            )
        found = {hit.run.relative_to(self.root).as_posix(): hit.similarity for hit in hits}
        self._answers[text] = found
        self._answers.move_to_end(text)
        if len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        return found

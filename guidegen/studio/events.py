"""News from the threads that draw to every page that listens, within bounded memory."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any


class Broker:
    """Hands news to all subscribers; may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: set[_Subscriber] = set()
        self._closed = False

    def close(self) -> None:
        """End what everybody listens to; the server is to stop."""
        self._closed = True
        self.publish("end", "", None)

    def publish(self, kind: str, key: str, data: Any) -> None:
        """Tell all.

        Args:
            kind: the event's name.
            key: what it is about. Of one kind and key a slow subscriber gets the latest news only.
            data: becomes JSON.
        """
        text = json.dumps(data, ensure_ascii=False)
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            with suppress(RuntimeError):  # its loop has ended
                subscriber.loop.call_soon_threadsafe(subscriber.put, kind, key, text)

    async def listen(
        self, now: Callable[[], Mapping[str, Any]]
    ) -> AsyncGenerator[dict[str, str], None]:
        """How things stand, then all news: server-sent events, {"event": kind, "data": JSON}.

        Args:
            now: kind -> data, asked once nothing can be missed any more.
        """
        subscriber = _Subscriber()
        with self._lock:
            self._subscribers.add(subscriber)
        try:
            for kind, data in now().items():
                yield {"event": kind, "data": json.dumps(data, ensure_ascii=False)}
            while not self._closed:
                await subscriber.ready.wait()
                for kind, text in subscriber.take():
                    yield {"event": kind, "data": text}
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)


class _Subscriber:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready = asyncio.Event()
        self._waiting: dict[tuple[str, str], str] = {}

    def put(self, kind: str, key: str, text: str) -> None:
        self._waiting.pop((kind, key), None)
        self._waiting[kind, key] = text
        self.ready.set()

    def take(self) -> list[tuple[str, str]]:
        waiting, self._waiting = self._waiting, {}
        self.ready.clear()
        return [(kind, text) for (kind, _), text in waiting.items()]

"""The queue on the disk, turns, and news."""

import asyncio
import json
import threading

import pytest

pytest.importorskip("starlette")

from guidegen.errors import InputImageError
from guidegen.studio.events import Broker
from guidegen.studio.queue.drawer import MOST, PAUSED, Drawer
from guidegen.studio.queue.jobs import Job, Queue
from guidegen.studio.queue.live import Candidate
from guidegen.studio.queue.turns import Turns


def make(queue, *titles):
    jobs = [Job.new("pictures", title, {"prompt": title}, seeds=[0]) for title in titles]
    for job in jobs:
        queue.add(job)
    return [job.id for job in jobs]


def titles(queue):
    return [job.title for job in queue.jobs()]


def test_the_queue_outlives_its_process(tmp_path):
    queue = Queue(tmp_path / "queue.json")
    a, b, _ = make(queue, "a", "b", "c")
    queue.change(a, state="running", runs={0: "a-0"})
    queue.change(b, state="paused")
    again = Queue(tmp_path / "queue.json")
    assert [job.state for job in again.jobs()] == ["waiting", "paused", "waiting"]
    assert again.get(a).runs == {0: "a-0"}


def test_jobs_are_moved_and_forgotten(tmp_path):
    queue = Queue(tmp_path / "queue.json")
    _, b, c = make(queue, "a", "b", "c")
    queue.move(c, 0)
    assert titles(queue) == ["c", "a", "b"]
    queue.move(c, 9)
    assert titles(queue) == ["a", "b", "c"]
    queue.forget(b)
    assert titles(Queue(tmp_path / "queue.json")) == ["a", "c"]
    with pytest.raises(InputImageError):
        queue.get(b)


def test_a_queue_that_cannot_be_read_is_set_aside(tmp_path):
    path = tmp_path / "queue.json"
    path.write_text('[{"id": 3}]')
    queue = Queue(path)
    assert queue.jobs() == []
    make(queue, "a")
    assert (tmp_path / "queue.broken.json").read_text() == '[{"id": 3}]'


def test_old_ended_jobs_leave_the_queue(tmp_path):
    queue = Queue(tmp_path / "queue.json")
    for number in range(40):
        (name,) = make(queue, str(number))
        if number:
            queue.change(name, state="finished")
    make(queue, "new")
    assert len(queue.jobs()) == 32
    assert titles(queue)[0] == "0"  # it still waits


def test_turns_come_round_to_everybody():
    turns, order, ready = Turns(), [], threading.Barrier(4)

    def work(name):
        ready.wait()
        with turns.taken():
            for _ in range(5):
                order.append(name)
                turns.give_way()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    with turns.taken():
        for thread in threads:
            thread.start()
        ready.wait()
        while len(turns._line) < 3:
            pass
    for thread in threads:
        thread.join()
    rounds = [set(order[start : start + 3]) for start in range(0, 15, 3)]
    assert rounds == [{"a", "b", "c"}] * 5


def test_a_drawer_lets_in_some_and_pauses_one(tmp_path):
    queue = Queue(tmp_path / "queue.json")
    names = make(queue, *map(str, range(MOST + 2)))
    begun, go = threading.Semaphore(0), threading.Event()

    def draw(job, room):
        begun.release()
        while not go.is_set() and not room.stop:
            room.give_way()
        if job.title == "1":
            raise ValueError("it broke")

    drawer = Drawer(queue, draw, Turns())
    queue._changed = drawer.poke
    drawer.start()
    for _ in range(MOST):
        assert begun.acquire(timeout=5)
    states = [queue.get(name).state for name in names]
    assert states == ["running"] * MOST + ["waiting"] * 2
    drawer.stop(names[0], PAUSED)
    assert begun.acquire(timeout=5)
    assert queue.get(names[0]).state == "paused"
    go.set()
    assert begun.acquire(timeout=5)
    drawer.close()
    states = [queue.get(name).state for name in names]
    assert states[:2] == ["paused", "failed"]
    assert queue.get(names[1]).why == "ValueError: it broke"


def test_slow_pages_get_the_latest_news_only():
    async def main():
        broker = Broker()
        listening = broker.listen(lambda: {"queue": []})
        assert await anext(listening) == {"event": "queue", "data": "[]"}
        for step in range(1000):
            broker.publish("step", "job", {"step": step})
        broker.publish("step", "other", {"step": 0})
        first, second = await anext(listening), await anext(listening)
        await listening.aclose()
        assert not broker._subscribers
        return json.loads(first["data"]), json.loads(second["data"])

    assert asyncio.run(main()) == ({"step": 999}, {"step": 0})


def test_curves_of_long_runs_stay_short():
    one = Candidate()
    for step in range(10_000):
        one.note(step, 1.0)
    assert len(one.points) <= 600
    assert one.points[0][0] == 0
    assert one.points[-1][0] > 9_900

"""What the studio keeps of its own goes when nobody needs it, and not before."""

import io
import json
import os
import time

import pytest
from PIL import Image

pytest.importorskip("starlette")

from guidegen.studio.places import TRASH, Places
from guidegen.studio.prune import prune
from guidegen.studio.queue.jobs import Job, Queue

DAY = 24 * 3600


@pytest.fixture
def places(tmp_path):
    places = Places(tmp_path)
    places.own.mkdir()
    return places


def bring(places, colour, *, days):
    """A picture that was brought so many days ago; its file."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    path = places.brought(places.keep(buffer.getvalue()))
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def refer(folder, path):
    """A run that starts from a picture."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"config": {"init_image": str(path)}}))


def test_pictures_that_nothing_names_go_after_a_week(places):
    queue = Queue(places.own / "queue.json")
    old, new = bring(places, "red", days=8), bring(places, "blue", days=6)
    of_job, of_run = bring(places, "green", days=99), bring(places, "black", days=99)
    of_trash, of_list = bring(places, "gray", days=99), bring(places, "teal", days=99)
    fields = {"image_prompt": [f"{of_job}:0.5"]}
    queue.add(Job.new("pictures", "a", fields, state="stopped"))
    refer(places.root / "a-list" / "a-run", of_run)
    refer(places.root / TRASH / "a-run", of_trash)
    (places.own / "lists" / "x").mkdir(parents=True)
    (places.own / "lists" / "x" / "list.jsonl").write_text(json.dumps({"mask": str(of_list)}))
    prune(places, queue)
    kept = {path for path in (old, new, of_job, of_run, of_trash, of_list) if path.exists()}
    assert kept == {new, of_job, of_run, of_trash, of_list}


def test_a_picture_that_is_asked_for_stays_another_week(places):
    queue = Queue(places.own / "queue.json")
    path = bring(places, "red", days=8)
    written = path.stat().st_mtime_ns
    places.picture(f"upload:{path.name}")
    assert path.stat().st_mtime_ns == written
    prune(places, queue)
    assert path.exists()


def test_starts_go_with_their_job(places):
    queue = Queue(places.own / "queue.json")
    job = Job.new("starts", "a", {}, seeds=[0])
    queue.add(job)
    folder = places.own / "starts"
    folder.mkdir()
    for name in (f"{job.id}-0.jpg", f"{job.id}-12.jpg", "gone-0.jpg"):
        (folder / name).write_bytes(b"")
    prune(places, queue)
    assert len(list(folder.iterdir())) == 2
    queue.forget(job.id)
    prune(places, queue)
    assert not list(folder.iterdir())

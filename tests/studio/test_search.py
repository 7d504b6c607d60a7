"""The wall's search by meaning: what the server answers, and what the page shows."""

import io
import threading
import time

import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("sse_starlette")

from starlette.testclient import TestClient

from guidegen.config import make_config
from guidegen.errors import OutputError
from guidegen.runs.store import RunStore
from guidegen.studio.app import make_app
from guidegen.studio.events import Broker
from guidegen.studio.queue.turns import Turns
from guidegen.studio.runs.search import RunSearch
from guidegen.studio.studio import Studio
from guidegen.zero_shot.search import search_runs

LOCAL = "http://127.0.0.1:7878"
COLOURS = ["red", "blue", "green", "black"]


def hang(root, colour, *, folder="", generator="pixels"):
    """A finished run whose picture is of one colour; its name."""
    config = make_config({"prompt": f"thing {colour}", "generator": generator})
    run = RunStore(root / folder).create(config, config.digest())
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    run.write("image.png", buffer.getvalue())
    run.finish({})
    return run.path.relative_to(root).as_posix()


@pytest.fixture(scope="module")
def studio(tmp_path_factory, clip):
    """A studio with four runs, one of them in the folder of a list."""
    root = tmp_path_factory.mktemp("search") / "outputs"
    root.mkdir()
    for colour in COLOURS:
        folder = "a-list" if colour == "red" else ""
        hang(root, colour, folder=folder, generator="collage" if colour == "blue" else "pixels")
    studio = Studio(root)
    studio.search.perceptor = f"local-dir:{clip}"
    yield studio
    studio.search.close()


@pytest.fixture(scope="module")
def client(studio):
    return TestClient(make_app(studio), base_url=LOCAL)


@pytest.fixture
def search(studio):
    """Another search of these runs, whose index is empty."""
    for index in studio.places.root.glob(".guidegen-runs-*"):
        index.unlink()
    search = RunSearch(studio.places.root, Turns(), Broker(), perceptor=studio.search.perceptor)
    yield search
    search.close()


def ask(client, meaning, **query):
    answer = client.get("/api/runs", params={"meaning": meaning, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["runs"]


def test_runs_are_found_as_the_library_finds_them(studio, client):
    text = "a cat:2 | a dog:-0.5"
    hits = search_runs(studio.places.root, text, perceptor=studio.search.perceptor)
    wanted = [(studio.places.name(hit.run), hit.similarity) for hit in hits]
    found = ask(client, text)
    assert [(run["name"], run["similarity"]) for run in found] == wanted
    assert len(found) == len(COLOURS)
    again = ask(client, text, first=1, count=2)
    assert again == found[1:3]
    other = ask(client, "a dog | a cat:-0.5")
    assert [run["name"] for run in other] != [run["name"] for run in found]


def test_filters_apply_to_what_is_found_by_meaning(studio, client):
    (blue,) = ask(client, "a cat", generator="collage")
    assert blue["prompt"] == "thing blue"
    (listed,) = ask(client, "a cat", folder="a-list")
    assert listed["prompt"] == "thing red"
    client.post("/api/star", json={"name": blue["name"], "on": True})
    assert [run["name"] for run in ask(client, "a cat", starred="1")] == [blue["name"]]
    client.post("/api/star", json={"name": blue["name"], "on": False})
    assert ask(client, "a cat", lowest="0.1") == []  # none has a score


def test_runs_in_the_trash_are_not_found_and_the_index_is_no_run(studio, client):
    found = [run["name"] for run in ask(client, "a cat")]
    gone, *rest = found
    assert list(studio.places.root.glob(".guidegen-runs-*.sqlite"))
    assert {run["name"] for run in client.get("/api/runs").json()["runs"]} == set(found)
    client.post("/api/trash", json={"names": [gone]})
    assert [run["name"] for run in ask(client, "a cat", first=0)] == rest
    client.post("/api/restore", json={"names": [gone]})
    assert [run["name"] for run in ask(client, "a cat")] == found


def test_a_search_that_fails_says_why_in_one_line(studio, client):
    def refused(meaning):
        answer = client.get("/api/runs", params={"meaning": meaning})
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert "\n" not in error["message"]
        return error["message"]

    assert "'0,5' is not a number" in refused("a cat:0,5")
    ask(client, "a cat")
    (index,) = studio.places.root.glob(".guidegen-runs-*.sqlite")
    index.unlink()
    index.mkdir()
    assert "can't use the index" in refused("a cat")
    index.rmdir()


def test_looking_gives_way_to_what_is_drawn_and_tells_how_far_it_is(search, monkeypatch):
    monkeypatch.setattr("guidegen.studio.runs.search._TURN", -1.0)
    told, drawn = [], []
    monkeypatch.setattr(search.broker, "publish", lambda kind, _, data: told.append((kind, data)))

    def draw():
        with search.turns.taken():
            drawn.append(len(told))

    other = threading.Thread(target=draw)
    with search.turns.taken():
        found = search.find("a cat")
        waits(search.turns, 1)
        other.start()
        waits(search.turns, 2)
    assert len(found.result(30)) == len(COLOURS)
    other.join()
    assert drawn == [1]  # after the first picture, not after the last
    assert told == [("search", {"done": n, "total": 4}) for n in (1, 2, 3, 4)]


def waits(turns, count):
    """Until so many wait for their turn."""
    while len(turns._line) < count:
        time.sleep(0.001)


def test_a_studio_that_closes_does_not_wait_for_the_index(search, monkeypatch):
    monkeypatch.setattr("guidegen.studio.runs.search._TURN", -1.0)
    monkeypatch.setattr(search.turns, "give_way", search._closing.set)
    with pytest.raises(OutputError, match="the studio closed"):
        search.find("a cat").result(30)

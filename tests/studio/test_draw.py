"""Jobs drawn as the queue draws them, without a server."""

import pytest

pytest.importorskip("starlette")

import guidegen
from guidegen.errors import ConfigError
from guidegen.runs.store import Run
from guidegen.studio.queue.drawer import Room
from guidegen.studio.queue.kinds import DRAWERS, start_path
from guidegen.studio.queue.live import Live
from guidegen.studio.queue.turns import Turns
from guidegen.studio.studio import Studio


@pytest.fixture(scope="module")
def quick(clip):
    """Settings with which a step takes no time."""
    return {
        "generator": "pixels", "size": "16", "steps": 2, "cutouts": 2, "device": "cpu",
        "perceptor": [f"local-dir:{clip}"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory, quick):
    root = tmp_path_factory.mktemp("draw") / "outputs"
    root.mkdir()
    return Studio(root, quick)


def draw(studio, job):
    """The job once it is drawn."""
    room = Room(Turns(), Live())
    with room._turns.taken():
        DRAWERS[job.kind](studio, job, room)
    return studio.queue.get(job.id)


def test_starts_are_those_of_the_command_line_and_go_on_by_its_numbers(studio, quick):
    fields = {"prompt": "a cat", "seed": "5"}
    seen = draw(studio, studio.add("starts", fields, count=3))
    wanted = guidegen.starts("a cat", seed=5, count=3, **quick)
    assert (seen.done, seen.seeds) == (3, [5])
    assert seen.more["losses"] == [start.loss for start in wanted]
    assert all(start_path(studio, seen, number).is_file() for number in range(3))
    chosen = studio.add("pictures", {**seen.fields, "seed": seen.seeds[0]}, picks=[3, 1])
    drawn = draw(studio, chosen)
    assert drawn.done == drawn.total == 2
    runs = [Run.load(studio.places.run(drawn.runs[number])) for number in range(2)]
    assert [(run.config.seed, run.config.pick) for run in runs] == [(5, 3), (5, 1)]


def test_starts_of_a_seed_that_is_drawn_go_on_with_that_seed(studio):
    seen = studio.add("starts", {"prompt": "a cat", "seed": "-1"}, count=2)
    (config,) = studio.configs(seen)
    assert seen.seeds == [config.seed]


def test_starts_that_can_not_be_drawn_are_refused_at_their_field(studio):
    before = len(studio.queue.jobs())
    with pytest.raises(ConfigError, match="count: at most 64"):
        studio.add("starts", {"prompt": "a"}, count=65)
    with pytest.raises(ConfigError, match="pick"):
        studio.add("pictures", {"prompt": "a"}, picks=[0])
    (run, *_) = draw(studio, studio.add("pictures", {"prompt": "a", "seed": "1"})).runs.values()
    with pytest.raises(ConfigError, match="init_run: it is a start already"):
        studio.add("starts", {"prompt": "a", "init_run": f"{run}@1"}, count=2)
    assert len(studio.queue.jobs()) == before + 1

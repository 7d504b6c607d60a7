"""Runs that end before their last step: after some minutes, at a wanted loss."""

import json

import numpy as np
import pytest

import guidegen
from guidegen.engine import batch
from guidegen.runs.store import Run
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture
def settings(clip, tmp_path):
    return {
        "generator": "pixels", "size": "16", "steps": 6, "cutouts": 2, "device": "cpu",
        "perceptor": f"local-dir:{clip}", "out": tmp_path / "out", "seed": 3, "lr": 0.2,
    }  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns; the batch looks at no other."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(batch, "time", clock)
    return clock


def pixels(picture):
    return np.asarray(picture.image).astype(int)


def minute_a_step(clock):
    def tick(step):
        clock.now += 60

    return [tick]


def test_after_its_minutes_a_picture_is_finished_and_says_why(settings, clock):
    watch = minute_a_step(clock)
    picture = guidegen.generate("a red dot", minutes=3, recorders=watch, **settings)
    assert (picture.status, picture.ended) == ("finished", "minutes")
    told = json.loads((picture.run.path / "run.json").read_text())
    assert (told["status"], told["ended"], told["last_step"]) == ("finished", "minutes", 2)
    assert picture.path.is_file()
    assert (picture.run.path / "trajectory.safetensors").is_file()


@pytest.mark.slow
def test_what_ends_early_shows_the_best_so_far_with_its_own_loss(settings):
    # a picture that hardly moves: its loss goes up and down with the views
    still = {**settings, "lr": 1e-6, "optimizer": "sgd", "steps": 30}
    (row,) = losses(still, 1).values()
    last = next(i for i in range(1, 30) if row[i] > min(row[:i]))
    answer = [lambda step: "enough" if step.index == last else None]
    picture = guidegen.generate("a red dot", recorders=answer, **{**still, "out": None})
    assert picture.scores["loss"] == pytest.approx(min(row[:last]))


@pytest.mark.slow
def test_a_call_that_gives_no_more_time_finds_it_and_one_that_does_goes_on(settings, clock):
    whole = guidegen.generate("a red dot", **{**settings, "out": None})
    watch = minute_a_step(clock)
    first = guidegen.generate("a red dot", minutes=3, recorders=watch, **settings)
    for minutes in (3, 1):
        again = guidegen.generate("a red dot", minutes=minutes, **settings)
        assert again.reused
        assert again.ended == "minutes"
        assert np.array_equal(pixels(again), pixels(first))
    longer = guidegen.generate("a red dot", minutes=5, **settings)
    assert (longer.ended, longer.run.resumed_at) == ("", [2])
    assert np.array_equal(pixels(longer), pixels(whole))
    # with all its steps it serves everybody
    assert guidegen.generate("a red dot", minutes=1, **settings).reused
    assert guidegen.generate("a red dot", **settings).reused


def losses(settings, count):
    found = {}
    for step in guidegen.stream("a red dot", count=count, **{**settings, "out": None}):
        found.setdefault(step.candidate, []).append(step.loss)
    return found


def test_a_picture_ends_at_the_first_step_that_is_good_enough(settings):
    (row,) = losses(settings, 1).values()
    wanted = sorted(row)[2]
    first = next(i for i, loss in enumerate(row) if loss <= wanted)
    assert 0 < first < 6
    steps = list(guidegen.stream("a red dot", until_loss=wanted, **settings))
    assert [step.index for step in steps] == list(range(first + 1))
    run = Run.load(steps[-1].folder)
    assert (run.status, run.ended, run.last_step) == ("finished", "until-loss", first)
    assert run.scores["loss"] == pytest.approx(row[first])
    assert not list(run.path.glob("state-*"))
    # the same call finds it; one without the wish makes another picture elsewhere
    assert guidegen.generate("a red dot", until_loss=wanted, **settings).reused
    other = guidegen.generate("a red dot", **settings)
    assert not other.reused
    assert other.run.path != run.path


@pytest.mark.slow
def test_each_candidate_ends_by_itself_with_the_picture_it_would_have_alone(settings):
    both = losses(settings, 2)
    wanted = max(min(row) for row in both.values())
    first = [next(i for i, loss in enumerate(row) if loss <= wanted) for row in both.values()]
    assert first[0] != first[1]
    with guidegen.stream("a red dot", count=2, until_loss=wanted, **settings) as stream:
        steps = list(stream)
    for row in (0, 1):
        assert [s.index for s in steps if s.candidate == row] == list(range(first[row] + 1))
        (picture,) = [p for p in stream.pictures if p.config.seed == 3 + row]
        alone = guidegen.generate(
            "a red dot", until_loss=wanted, **{**settings, "out": None, "seed": 3 + row}
        )
        assert np.array_equal(pixels(picture), pixels(alone))
        lines = (picture.run.path / "steps.jsonl").read_text().splitlines()
        assert len(lines) == first[row] + 1


def test_a_run_that_was_left_goes_on_to_the_same_early_end(settings):
    (row,) = losses(settings, 1).values()
    wanted = min(row[3:5])
    whole = guidegen.generate("a red dot", until_loss=wanted, **{**settings, "out": None})
    for step in guidegen.stream("a red dot", until_loss=wanted, **settings):
        if step.index == 1:
            break
    again = guidegen.generate("a red dot", until_loss=wanted, **settings)
    assert again.run.resumed_at == [1]
    assert np.array_equal(pixels(again), pixels(whole))


def test_the_preview_is_there_while_it_runs_and_gone_afterwards(settings):
    from PIL import Image

    for step in guidegen.stream("a red dot", **settings):
        with Image.open(step.folder / "preview.png") as shown:
            assert shown.size == (16, 16)
    assert not (step.folder / "preview.png").exists()
    for step in guidegen.stream("a red dot", preview=False, force=True, **settings):
        assert not (step.folder / "preview.png").exists()

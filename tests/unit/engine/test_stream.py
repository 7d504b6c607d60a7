"""A run as an iterator: what its steps show, how it is stopped, paused and left."""

import json
import threading

import numpy as np
import pytest
import torch

import guidegen
from guidegen.errors import ConfigError, RunInterruptedError
from guidegen.runs.store import Run
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture
def settings(clip, tmp_path):
    return {
        "generator": "pixels", "size": "32x16", "steps": 6, "cutouts": 2, "device": "cpu",
        "perceptor": f"local-dir:{clip}", "out": tmp_path / "out", "seed": 3,
    }  # fmt: skip


def pixels(picture):
    return np.asarray(picture.image).astype(int)


def status(folder):
    return json.loads((folder / "run.json").read_text())


def test_every_step_shows_itself_and_the_picture_comes_last(settings):
    with guidegen.stream("a red dot", **settings) as stream:
        steps = []
        for step in stream:
            steps.append(step)
            assert stream.picture is None
            assert status(step.folder)["status"] == "running"
    assert [step.index for step in steps] == list(range(7))
    assert {(step.total, step.candidate) for step in steps} == {(6, 0)}
    assert steps[0].config.lr > 0
    assert steps[-1].folder == stream.picture.run.path
    assert stream.picture.status == "finished"
    assert steps[-1].loss == pytest.approx(stream.picture.scores["loss"])
    assert steps[-1].losses["total"] == steps[-1].loss
    (score,) = [v for k, v in stream.picture.scores.items() if k.startswith("similarity")]
    assert steps[-1].similarity == pytest.approx(score, abs=1e-4)
    assert steps[0].similarity != steps[-1].similarity
    # the last step's picture is the picture
    assert np.array_equal(np.asarray(steps[-1].preview(64)).astype(int), pixels(stream.picture))


def test_a_preview_has_the_size_that_is_asked_for_and_changes(settings):
    steps = list(guidegen.stream("a red dot", **settings))
    assert steps[0].preview(8).size == (8, 4)
    assert steps[0].preview().size == (32, 16)  # never enlarged
    before, after = (np.asarray(step.preview(8)).astype(int) for step in (steps[0], steps[-1]))
    assert abs(before - after).max() > 0


def test_what_costs_time_is_computed_when_it_is_asked_for_only(settings, monkeypatch):
    def never(*args, **options):
        raise AssertionError("computed unasked")

    monkeypatch.setattr("guidegen.engine.stream_step.similarities", never)
    monkeypatch.setattr("guidegen.engine.stream_step.preview", never)
    steps = list(guidegen.stream("a red dot", **settings))
    for ask in (lambda: steps[0].similarity, lambda: steps[0].preview()):
        with pytest.raises(AssertionError, match="unasked"):
            ask()


def test_looking_changes_no_pixel(settings):
    blind = guidegen.generate("a red dot", **{**settings, "out": None})
    with guidegen.stream("a red dot", **settings) as stream:
        for step in stream:
            assert step.similarity <= 1
            step.preview(8)
    assert np.array_equal(pixels(blind), pixels(stream.picture))


def test_several_candidates_are_told_apart(settings):
    with guidegen.stream("a red dot", count=2, **settings) as stream:
        seen = [(step.index, step.candidate, step.config.seed) for step in stream]
    assert seen == [(index, row, 3 + row) for index in range(7) for row in (0, 1)]
    assert [picture.config.seed for picture in stream.pictures] == [3, 4]


def test_a_stop_from_another_thread_keeps_the_best_and_the_same_call_goes_on(settings):
    whole = guidegen.generate("a red dot", **{**settings, "out": None})
    with guidegen.stream("a red dot", **settings) as stream:
        for step in stream:
            if step.index == 3:
                thread = threading.Thread(target=stream.stop, args=["enough for today"])
                thread.start()
                thread.join()
        assert step.index == 3
        assert stream.stopped
    picture = stream.picture
    assert (picture.status, picture.ended) == ("interrupted", "enough for today")
    told = status(picture.run.path)
    assert (told["status"], told["ended"], told["last_step"]) == (
        "interrupted", "enough for today", 3,
    )  # fmt: skip
    assert (picture.run.path / "state-3.safetensors").is_file()
    again = guidegen.generate("a red dot", **settings)
    assert again.run.resumed_at == [3]
    assert np.array_equal(pixels(again), pixels(whole))
    assert status(again.run.path)["ended"] == ""


@pytest.mark.slow
def test_leaving_the_loop_saves_it_and_the_same_call_goes_on(settings):
    whole = guidegen.generate("a red dot", **{**settings, "out": None})
    for step in guidegen.stream("a red dot", count=2, **settings):
        if step.index == 2:
            break
    run = Run.load(step.folder)
    assert (run.status, run.ended, run.last_step) == ("interrupted", "left", 2)
    assert run.image.is_file()
    with guidegen.stream("a red dot", count=2, **settings) as stream:
        assert [step.index for step in stream] == [i for i in range(2, 7) for _ in (0, 1)]
    assert np.array_equal(pixels(stream.pictures[0]), pixels(whole))


def test_an_error_of_the_consumer_saves_the_run_too(settings):
    folders = []

    def fail_at_two():
        with guidegen.stream("a red dot", **settings) as stream:
            for step in stream:
                folders.append(step.folder)
                1 // (step.index - 2)

    with pytest.raises(ZeroDivisionError):
        fail_at_two()
    assert Run.load(folders[0]).status == "interrupted"


def test_a_finished_run_has_no_steps(settings):
    guidegen.generate("a red dot", **settings)
    with guidegen.stream("a red dot", **settings) as stream:
        assert list(stream) == []
    assert stream.picture.reused
    with guidegen.stream("a red dot", force=True, **settings) as stream:
        assert len(list(stream)) == 7


def test_one_stop_ends_generate_and_its_picture_says_so(settings):
    stop = guidegen.Stop()

    def ask(step):
        if step.index == 4:
            stop.set()

    picture = guidegen.generate("a red dot", stop=stop, recorders=[ask], **settings)
    assert (picture.status, picture.ended, picture.run.last_step) == ("interrupted", "stopped", 4)
    with pytest.raises(RunInterruptedError, match="before the first step"):
        guidegen.generate("a red dot", stop=stop, **settings)


def test_a_recorder_s_answer_finishes_the_picture_early(settings):
    whole = guidegen.generate("a red dot", **{**settings, "out": None})
    answer = [lambda step: "red enough" if step.index == 2 else None]
    early = guidegen.generate("a red dot", recorders=answer, **settings)
    assert (early.status, early.ended) == ("finished", "red enough")
    assert (early.run.status, early.run.ended, early.run.last_step) == ("finished", "red enough", 2)
    # a call that does not end it goes on, as if nothing had been
    picture = guidegen.generate("a red dot", **settings)
    assert (picture.ended, picture.run.resumed_at) == ("", [2])
    assert np.array_equal(pixels(picture), pixels(whole))
    assert not list(picture.run.path.glob("state-*"))


def test_bad_settings_are_refused_by_the_call(settings):
    with pytest.raises(ConfigError, match="count"):
        guidegen.stream("a red dot", count=0, **settings)
    with pytest.raises(ConfigError, match="steps"):
        guidegen.stream("a red dot", **{**settings, "steps": -1})
    assert not settings["out"].exists()


def test_no_signal_handler_is_touched(settings):
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for _ in guidegen.stream("a red dot", **settings):
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_nothing_written_is_nothing_written(settings, tmp_path):
    with guidegen.stream("a red dot", **{**settings, "out": None}) as stream:
        for step in stream:
            assert step.folder is None
            if step.index == 2:
                break
    assert stream.picture is None or stream.picture.path is None
    assert not settings["out"].exists()
    assert torch.is_grad_enabled()

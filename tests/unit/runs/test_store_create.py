"""What `RunStore.create` notes, keeps of an earlier run, and clears away."""

import os

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.errors import OutputError
from guidegen.runs import metadata
from guidegen.runs.store import Run, RunStore

CONFIG = make_config({"prompt": "a red apple", "seed": 7, "steps": 3})
DIGEST = "0123456789abcdef" * 4
START = "2026-01-02T03:04:05.678+00:00"


def earlier(store, **fields):
    run = store.create(CONFIG, DIGEST, models={"clip": "ab"}, device="then")
    run.started = START
    for name, value in fields.items():
        setattr(run, name, value)
    run.save()
    return run


def test_all_that_it_is_told_stands_in_run_json(tmp_path):
    times = {"clip": {"bf16": 1.5}}
    run = RunStore(tmp_path).create(
        CONFIG, DIGEST, models={"clip": "ab"}, device="2 cores", precision={"clip": "bf16"},
        timings=times, resumed_at=None,
    )  # fmt: skip
    assert Run.load(run.path) == run
    assert (run.config, run.digest, run.models) == (CONFIG, DIGEST, {"clip": "ab"})
    assert (run.device, run.precision, run.timings) == ("2 cores", {"clip": "bf16"}, times)
    assert run.timings["clip"] is not times["clip"]
    assert (run.status, run.resumed_at) == ("running", [])


def test_untold_it_notes_nothing(tmp_path):
    run = RunStore(tmp_path / "deep" / "er").create(CONFIG, DIGEST)
    assert (run.models, run.device, run.precision, run.timings) == ({}, "", {}, {})
    assert os.listdir(run.path) == ["run.json"]


def test_a_run_that_goes_on_keeps_its_start_and_every_step_at_which_it_did(tmp_path):
    store = RunStore(tmp_path)
    earlier(store, resumed_at=[2])
    run = store.create(CONFIG, DIGEST, resumed_at=0)
    assert (run.started, run.resumed_at) == (START, [2, 0])
    assert Run.load(run.path) == run
    # what the last call said of its device and weights is not carried over
    assert (run.models, run.device) == ({}, "")


def test_a_run_that_begins_anew_has_no_past(tmp_path):
    store = RunStore(tmp_path)
    earlier(store, resumed_at=[2])
    run = store.create(CONFIG, DIGEST)
    assert run.started > START
    assert run.resumed_at == []


def test_one_that_goes_on_where_nothing_was_begins_now(tmp_path):
    run = RunStore(tmp_path).create(CONFIG, DIGEST, resumed_at=2)
    assert run.resumed_at == []
    assert run.started > START


@pytest.mark.parametrize("status", ["finished", "interrupted"])
@pytest.mark.parametrize("ours", [True, False])
def test_only_what_replaced_a_finished_picture_is_put_aside(tmp_path, status, ours):
    store = RunStore(tmp_path)
    run = earlier(store)
    run.write("image.png", metadata.save_png(Image.new("RGB", (8, 8), "red"), CONFIG))
    run.finish({}, status=status)
    if not ours:
        Image.new("RGB", (8, 8), "blue").save(run.image)
    store.create(CONFIG, DIGEST)
    aside = status == "finished" and not ours
    assert (run.path / "image-2.png").exists() is aside
    assert run.image.exists() is not aside


def test_left_overs_that_can_not_be_removed_are_no_hindrance(tmp_path):
    store = RunStore(tmp_path)
    run = earlier(store)
    (run.path / ".a.tmp").mkdir()
    for name in (".b.tmp", ".kept", "c.tmp"):
        (run.path / name).touch()
    assert store.create(CONFIG, DIGEST).path == run.path
    assert sorted(os.listdir(run.path)) == [".a.tmp", ".kept", "c.tmp", "run.json"]


def test_places_that_others_hold_are_passed_over_in_order(tmp_path):
    store = RunStore(tmp_path)
    name = "a-red-apple-7-01234567"
    assert store.place(CONFIG, DIGEST) == tmp_path / name
    assert os.listdir(tmp_path) == []
    (tmp_path / name).touch()
    assert store.place(CONFIG, DIGEST).name == f"{name}-2"
    (tmp_path / f"{name}-2").mkdir()
    (tmp_path / f"{name}-2" / ".lock").touch()
    assert store.place(CONFIG, DIGEST).name == f"{name}-2"
    (tmp_path / f"{name}-2" / "diary").touch()
    assert store.place(CONFIG, DIGEST).name == f"{name}-3"


def test_a_folder_that_can_not_be_made_is_named_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    store = RunStore(tmp_path / "file")
    with pytest.raises(OutputError) as caught:
        store.create(CONFIG, DIGEST)
    place = tmp_path / "file" / "a-red-apple-7-01234567"
    assert str(caught.value) == f"can't make the folder {place}: Not a directory"

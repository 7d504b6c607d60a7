"""What run.json holds, byte by byte, and what a run tells when it ends or can't be read."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guidegen.config import make_config
from guidegen.errors import InputImageError
from guidegen.runs.run import Run, run_folder
from guidegen.utils.versions import versions

CONFIG = make_config({"prompt": "a 苹果 🍎", "seed": 7, "steps": 3, "init_image": "\udcff.png"})
START = "2026-01-02T03:04:05.678+00:00"


def made(tmp_path, **more):
    return Run(tmp_path, CONFIG, "ab" * 32, started=START, **more)


def test_run_json_is_indented_utf_8_that_ends_with_a_line_feed(tmp_path):
    run = made(
        tmp_path, models={"clip": "ab"}, device="2 cores", scores={"s": 0.5},
        precision={"clip": "bf16"}, timings={"clip": {"bf16": 2.5}}, resumed_at=[2],
        notes=["smaller"], files={"image.png": "cd"}, ended="minutes", last_step=2,
    )  # fmt: skip
    run.save()
    config = CONFIG.model_dump(mode="json")
    assert config["out"] == "outputs"
    told = {
        "format": 1,
        "config": config,
        "digest": "ab" * 32,
        "models": {"clip": "ab"},
        "device": "2 cores",
        "versions": dict(versions()),
        "scores": {"s": 0.5},
        "precision": {"clip": "bf16"},
        "timings": {"clip": {"bf16": 2.5}},
        "status": "running",
        "started": START,
        "finished": None,
        "seconds": None,
        "resumed_at": [2],
        "notes": ["smaller"],
        "files": {"image.png": "cd"},
        "ended": "minutes",
        "last_step": 2,
        "command": "guidegen generate 'a 苹果 🍎' --seed 7 --steps 3 --init-image $'\\377.png'",
    }
    text = json.dumps(told, ensure_ascii=False, indent=2) + "\n"
    assert (tmp_path / "run.json").read_bytes() == text.replace("\udcff", "\\udcff").encode()
    assert Run.load(tmp_path) == run == Run.load(tmp_path / "run.json")


def test_what_a_new_run_says_before_it_ends(tmp_path):
    run = Run(tmp_path, CONFIG, "")
    assert (run.models, run.device, run.scores, run.precision, run.timings) == ({}, "", {}, {}, {})
    assert (run.status, run.finished, run.seconds, run.ended, run.last_step) == (
        "running", None, None, "", None,
    )  # fmt: skip
    assert (run.resumed_at, run.notes, run.files) == ([], [], {})
    started = datetime.fromisoformat(run.started)
    assert 0 <= (datetime.now(UTC) - started).total_seconds() < 60
    assert len(run.started) == len(START)


def test_the_end_of_a_run_is_noted_with_its_seconds_and_its_files(tmp_path):
    run = made(tmp_path)
    assert run.write("image.png", b"png") == tmp_path / "image.png" == run.image
    run.finish({"s": 1}, status="interrupted", ended="minutes", last_step=2)
    assert Run.load(tmp_path) == run
    assert (run.status, run.ended, run.last_step) == ("interrupted", "minutes", 2)
    assert (run.scores, type(run.scores["s"])) == ({"s": 1.0}, float)
    stopped = datetime.fromisoformat(run.finished)
    assert len(run.finished) == len(START)
    lasted = (stopped - datetime.fromisoformat(START)).total_seconds()
    assert run.seconds == pytest.approx(lasted, abs=0.0011)
    assert run.seconds == round(run.seconds, 3) != round(run.seconds, 0)
    assert run.files == {"image.png": hashlib.sha256(b"png").hexdigest()}
    run.write("progress.mp4", b"video")
    run.finish({})
    assert (run.status, run.ended, run.last_step) == ("finished", "", None)
    assert run.files["progress.mp4"] == hashlib.sha256(b"video").hexdigest()
    assert run.intact("image.png")
    run.write("image.png", b"another")
    assert not run.intact("image.png")


@pytest.mark.parametrize(
    ("error", "why"),
    [(ValueError(" two\n lines "), "two lines"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
def test_a_failed_run_says_why_and_keeps_its_scores(tmp_path, error, why):
    run = made(tmp_path, scores={"s": 0.5})
    run.fail(error)
    assert Run.load(tmp_path).status == f"failed: {why}"
    assert Run.load(tmp_path).scores == {"s": 0.5}


@pytest.mark.parametrize(
    ("ended", "had", "wants", "serves"),
    [
        ("", None, None, True),
        ("until-loss", None, None, True),
        ("judged", None, None, True),
        ("a recorder", None, None, False),
        ("minutes", 2.0, 2.0, True),
        ("minutes", 2.0, 1.0, True),
        ("minutes", 2.0, 2.5, False),
        ("minutes", 2.0, None, False),
        ("minutes", None, 0.5, False),
    ],
)
def test_which_ends_serve_a_later_call(tmp_path, ended, had, wants, serves):
    run = made(tmp_path, status="finished", ended=ended)
    run.config = CONFIG.model_copy(update={"minutes": had})
    asked = CONFIG.model_copy(update={"minutes": wants})
    assert run.serves(asked) is serves
    run.status = "running"
    assert not run.serves(asked)


def refused(path):
    with pytest.raises(InputImageError) as caught:
        Run.load(path)
    return str(caught.value)


def test_what_can_not_be_loaded_is_told_in_one_exact_line(tmp_path):
    manifest = tmp_path / "run.json"
    assert refused(tmp_path) == f"{tmp_path} is no run directory: it has no run.json"
    made(tmp_path).save()
    good = json.loads(manifest.read_text())
    for change, why in {
        ("format", 2): f"{tmp_path} was made by a newer guidegen; install that",
        ("started", START[:-6]): f"can't read {manifest}: started has no time zone",
        ("scores", (("s", float("nan")),)): f"can't read {manifest}: a score is no number",
    }.items():
        name, value = change
        value = dict(value) if isinstance(value, tuple) else value
        manifest.write_text(json.dumps({**good, name: value}))
        assert refused(tmp_path) == why
    long = {"x" * 200: "y", **good["scores"]}
    manifest.write_text(json.dumps({**good, "scores": long}))
    told = refused(manifest).removeprefix(f"can't read {manifest}: ")
    assert len(told) == 300
    assert "\n" not in told
    # settings and fields that later versions leave out, or add, are no hindrance
    manifest.write_text(json.dumps({**good, "later": 1}))
    assert Run.load(tmp_path).digest == "ab" * 32
    del good["notes"], good["ended"], good["config"]["prompt"]
    manifest.write_text(json.dumps(good))
    assert refused(tmp_path).startswith(f"can't read {manifest}: ")


def test_a_path_that_names_no_run_is_told_with_an_example(tmp_path):
    with pytest.raises(InputImageError) as caught:
        run_folder(tmp_path / "none")
    assert str(caught.value) == (
        f"there is no run at {tmp_path / 'none'}; name a folder in outputs/, like "
        "outputs/a-red-apple-0-..."
    )
    assert isinstance(made(tmp_path).config.init_image, Path)

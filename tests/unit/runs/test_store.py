"""Run directories: names, atomic writes, finding a finished run, output places."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.errors import InputImageError, OutputError
from guidegen.runs import metadata
from guidegen.runs.intact import is_intact
from guidegen.runs.store import Run, RunStore, check_writable, picture_path, run_folder, slug
from guidegen.utils import failpoints
from guidegen.utils.files import replacing, write_atomic

CONFIG = make_config({"prompt": "a red apple", "seed": 7, "steps": 3})
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red apple", "a-red-apple"),
        ("A Red  Apple!:2 | fog:-0.5", "a-red-apple-2-fog-0-5"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "prompt"),
        ("/", "prompt"),
        ("-rf", "rf"),
        ("", "prompt"),
        ("🍎", "red-apple"),
        ("a 🐱!", "a-cat-face"),
        ("红苹果", "红苹果"),
        ("Красное яблоко", "красное-яблоко"),
        ("تفاحة حمراء", "تفاحة-حمراء"),
        ("\u202e|\u200b", "prompt"),
        ("雪" * 300, "雪" * 48),
        ("Café Straße naïve", "cafe-strasse-naive"),
        ("हिन्दी", "हनद"),
        ("con", "prompt-con"),
        ("COM1", "prompt-com1"),
        ("a\x00\n\tb", "a-b"),
        ("x" * 300, "x" * 48),
        ("word " * 40, "-".join(["word"] * 9)),
    ],
)
def test_slug(text, expected):
    assert slug(text) == expected
    assert 0 < len(slug(text)) <= 48


def test_an_atomic_write_is_complete_and_leaves_nothing_else(tmp_path):
    path = write_atomic(tmp_path / "a.bin", b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("place", ["create", "write", "fsync", "rename"])
def test_a_failing_write_keeps_the_old_file(tmp_path, monkeypatch, place):
    path = write_atomic(tmp_path / "a.bin", b"one")
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", f"{place}@a.bin:1:enospc")
    monkeypatch.setattr(failpoints, "_reached", Counter())
    with pytest.raises(OutputError, match=r"can't write .*a\.bin: No space left on device"):
        write_atomic(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_ctrl_c_within_a_write_leaves_nothing(tmp_path):
    def write_half():
        with replacing(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert os.listdir(tmp_path) == []


def test_a_run_is_found_once_it_is_finished(tmp_path):
    store = RunStore(tmp_path)
    assert store.find(CONFIG, DIGEST) is None
    run = store.create(CONFIG, DIGEST, models={"clip": "ab"}, device="2 CPU cores")
    assert run.path == tmp_path / "a-red-apple-7-01234567"
    assert store.find(CONFIG, DIGEST) is None
    run.write("image.png", b"png")
    run.finish({"similarity": 0.25})
    found = store.find(CONFIG, DIGEST)
    assert found == run
    assert found.scores == {"similarity": 0.25}
    assert found.seconds >= 0
    found.image.unlink()
    assert store.find(CONFIG, DIGEST) is None


def test_a_picture_with_metadata_does_not_serve_a_call_without(tmp_path):
    store = RunStore(tmp_path)
    run = store.create(CONFIG, DIGEST)
    run.write("image.png", b"png")
    run.finish({})
    assert store.find(CONFIG.model_copy(update={"metadata": False}), DIGEST) is None


def test_run_json_says_how_it_was_made(tmp_path):
    run = RunStore(tmp_path).create(CONFIG, DIGEST, models={"clip": "ab"}, device="cpu")
    data = json.loads((run.path / "run.json").read_text())
    assert data["status"] == "running"
    assert data["command"] == "guidegen generate 'a red apple' --seed 7 --steps 3"
    assert data["config"]["prompt"] == "a red apple"
    assert data["versions"]["pillow"]
    assert data["models"] == {"clip": "ab"}
    assert data["digest"] == DIGEST


@pytest.mark.parametrize("how", ["interrupted", "failed: the loss\nis nan"])
def test_other_ends_are_not_found(tmp_path, how):
    store = RunStore(tmp_path)
    run = store.create(CONFIG, DIGEST)
    run.write("image.png", b"png")
    if how == "interrupted":
        run.finish({}, status=how)
    else:
        run.fail(ValueError("the loss\nis nan"))
    assert Run.load(run.path).status == " ".join(how.split())
    assert store.find(CONFIG, DIGEST) is None


def test_a_failing_disk_does_not_hide_why_a_run_failed(tmp_path, monkeypatch):
    run = RunStore(tmp_path).create(CONFIG, DIGEST)
    monkeypatch.setattr(Run, "save", lambda _: (_ for _ in ()).throw(OutputError("full")))
    run.fail(ValueError("first"))


def test_colliding_digests_and_foreign_folders_are_left_alone(tmp_path):
    store = RunStore(tmp_path)
    first = store.create(CONFIG, DIGEST)
    other = DIGEST[:8] + "f" * 56
    second = store.create(CONFIG, other)
    assert second.path.name == first.path.name + "-2"
    assert store.create(CONFIG, other).path == second.path
    foreign = tmp_path / "a-red-apple-7-ffffffff"
    foreign.mkdir()
    (foreign / "diary.txt").write_text("mine")
    assert store.create(CONFIG, "f" * 64).path.name == "a-red-apple-7-ffffffff-2"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": {}}', '{"config": {"prompt": ""}}'])
def test_a_broken_run_json_is_reported(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputImageError, match=r"run\.json"):
        Run.load(tmp_path)


def test_a_path_that_is_not_utf8_does_not_break_run_json(tmp_path):
    config = CONFIG.model_copy(update={"init_image": Path("\udcff.png")})
    run = RunStore(tmp_path).create(config, DIGEST)
    assert Run.load(run.path).config == config


def test_where_a_png_out_puts_things(tmp_path):
    out = tmp_path / "x.png"
    assert RunStore(out).root == tmp_path / "outputs"
    assert picture_path(tmp_path, CONFIG) is None
    assert picture_path(out, CONFIG) == out
    assert picture_path(out, CONFIG, index=1, total=2) == tmp_path / "x-2.png"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_only_the_same_picture_is_replaced(tmp_path, suffix):
    out = tmp_path / f"x{suffix}"
    plain = Image.new("RGB", (8, 8))
    plain.save(out)
    assert picture_path(out, CONFIG) == tmp_path / f"x-2{suffix}"
    (tmp_path / f"x-2{suffix}").write_text("no image")
    assert picture_path(out, CONFIG) == tmp_path / f"x-3{suffix}"
    other = CONFIG.model_copy(update={"prompt": "a green pear"})
    (tmp_path / f"x-3{suffix}").write_bytes(metadata.encode(plain, other, suffix))
    assert picture_path(out, CONFIG) == tmp_path / f"x-4{suffix}"
    assert picture_path(out, CONFIG, force=True) == out
    out.write_bytes(metadata.encode(plain, CONFIG, suffix))
    assert picture_path(out, CONFIG) == out
    plain.save(out)
    assert picture_path(out, CONFIG, data=out.read_bytes()) == out


def test_check_writable_makes_the_folder_and_leaves_no_trace(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    check_writable(tmp_path / "c" / "x.png")
    assert os.listdir(tmp_path / "c") == ["outputs"]


def test_places_that_can_not_be_written_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for out, says in {
        tmp_path / "file": "is a file",
        tmp_path / "file" / "x.png": "is a file|Not a directory",
        tmp_path / "file" / "deep" / "er": "Not a directory",
        tmp_path / "x.gif": r"x\.png",
        Path("/proc/none"): "can't write",
        Path("a\0b"): "can't write",
        tmp_path / ("n" * 300): "can't write",
    }.items():
        with pytest.raises(OutputError, match=says):
            check_writable(out)


def test_a_run_of_a_newer_guidegen_is_not_guessed_at(tmp_path):
    run = RunStore(tmp_path).create(CONFIG, DIGEST)
    manifest = run.path / "run.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(InputImageError, match="newer guidegen"):
        Run.load(run.path)


def finished(tmp_path):
    run = RunStore(tmp_path).create(CONFIG, DIGEST)
    run.write("image.png", metadata.save_png(Image.new("RGB", (32, 32), "red"), CONFIG))
    run.finish({})
    return run


@pytest.mark.parametrize("recorded", [True, False])
def test_a_damaged_picture_is_noticed_and_replaced(tmp_path, recorded):
    run = finished(tmp_path)
    if not recorded:  # as an older guidegen left it
        run.files = {}
        run.save()
    store = RunStore(tmp_path)
    assert store.find(CONFIG, DIGEST) == run
    run.image.write_bytes(run.image.read_bytes()[:-40])
    assert store.find(CONFIG, DIGEST) is None
    assert store.create(CONFIG, DIGEST).path == run.path
    assert not list(run.path.glob("image-*"))


def test_another_picture_in_its_place_is_not_taken_for_ours_and_is_kept(tmp_path, caplog):
    run = finished(tmp_path)
    Image.new("RGB", (32, 32), "blue").save(run.image)
    other = run.image.read_bytes()
    assert RunStore(tmp_path).find(CONFIG, DIGEST) is None
    assert caplog.messages == [f"{run.image} is not what the run left; it is made again"]
    RunStore(tmp_path).create(CONFIG, DIGEST)
    assert not run.image.exists()
    assert caplog.messages[-1] == f"the picture that lay at {run.image} is kept as image-2.png"
    assert (run.path / "image-2.png").read_bytes() == other


def test_a_damaged_video_is_noticed_by_a_call_that_wants_one(tmp_path):
    config = CONFIG.model_copy(update={"video": True})
    store = RunStore(tmp_path)
    run = store.create(config, DIGEST)
    run.write("image.png", b"png")
    run.write("progress.mp4", b"video")
    run.finish({})
    assert store.find(config, DIGEST) == run
    (run.path / "progress.mp4").write_bytes(b"vid")
    assert store.find(config, DIGEST) is None
    assert store.find(CONFIG, DIGEST) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"started": 7},
        {"started": "yesterday"},
        {"started": "2026-01-01T00:00:00"},
        {"scores": {"a": "b"}},
        {"scores": [1]},
        {"scores": {"a": float("inf")}},
        {"models": 3},
        {"status": None},
        {"resumed_at": "x"},
        {"versions": {"torch": 2}},
        {"format": "1"},
        {"config": 3},
    ],
)
def test_a_run_json_of_the_wrong_kinds_is_refused_in_one_line(tmp_path, change):
    run = finished(tmp_path)
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputImageError, match=r"can't read .*run\.json") as caught:
        Run.load(run.path)
    assert "\n" not in str(caught.value)
    assert RunStore(tmp_path).find(CONFIG, DIGEST) is None


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "7", '"x"', "\x00", ""])
def test_a_run_json_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputImageError, match="can't read"):
        Run.load(tmp_path)


def test_a_run_json_that_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(InputImageError, match="no ordinary file"):
        Run.load(tmp_path)


def test_a_run_is_named_by_its_folder_or_by_a_file_in_it(tmp_path):
    run = RunStore(tmp_path).create(CONFIG, DIGEST)
    assert run_folder(run.path) == run_folder(run.path / "run.json") == run.path
    (tmp_path / "x.png").touch()
    for path, says in {
        tmp_path / "none": "there is no run at {}; name a folder in outputs/",
        tmp_path: "{} is no run directory: it has no run.json; name a folder in outputs/",
        tmp_path / "x.png": "{} lies in no run; name a folder in outputs/",
    }.items():
        with pytest.raises(InputImageError) as caught:
            run_folder(path)
        assert str(caught.value).startswith(says.format(path))


def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path):
    run = RunStore(tmp_path).create(CONFIG, DIGEST)
    (run.path / ".image.png.abc.tmp").touch()
    (run.path / "notes.tmp").touch()
    RunStore(tmp_path).create(CONFIG, DIGEST)
    assert sorted(os.listdir(run.path)) == ["notes.tmp", "run.json"]


def test_a_video_of_before_digests_is_taken_as_it_is(tmp_path):
    (tmp_path / "progress.mp4").write_bytes(b"no picture")
    assert is_intact(tmp_path / "progress.mp4", "")
    assert not is_intact(tmp_path / "image.png", "")
    assert not is_intact(tmp_path / "progress.mp4", "0" * 64)


def test_a_refused_place_is_told_in_the_system_s_words(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        check_writable(tmp_path / "file" / "deep" / "er")
    folder = tmp_path / "file" / "deep" / "er"
    assert str(caught.value) == f"out: can't write to {folder}: Not a directory; name another"

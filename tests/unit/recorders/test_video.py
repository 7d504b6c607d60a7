"""The video that is written while a run goes."""

import logging
import subprocess
import sys
import threading

import pytest

from guidegen.errors import OutputError
from guidegen.media import video_encoder
from guidegen.recorders import BestEffort, Recorder
from guidegen.recorders.video import LiveVideo
from guidegen.utils.files import replacing
from tests.helpers.recording import record
from tests.helpers.videos import about, frames, psnr, step, wait_for_frames, which


def live(folder, **options):
    return LiveVideo(folder, replacing, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_each_step_becomes_a_frame(tmp_path):
    video = live(tmp_path, metadata={"title": "a réd apple"})
    assert isinstance(video, Recorder)
    list(record((step(i) for i in range(61)), [video]))
    assert names(tmp_path) == ["progress.mp4"]
    found = frames(tmp_path / "progress.mp4")
    assert found.shape == (61, 48, 64, 3)
    for i, frame in enumerate(found):
        assert psnr(frame, step(i).images[0]) > 36
    data = about(tmp_path / "progress.mp4")
    assert (data["fps"], data["title"]) == (30, "a réd apple")
    assert data["duration"] == pytest.approx(61 / 30, abs=0.05)


@pytest.mark.slow
def test_its_own_row_only(tmp_path):
    video = live(tmp_path, row=1)
    list(record((step(i, rows=3) for i in range(5)), [video]))
    found = frames(tmp_path / "progress.mp4")
    for i, frame in enumerate(found):
        assert psnr(frame, step(i, rows=3).images[1]) > 36


@pytest.mark.slow
def test_every_third_step_and_the_last(tmp_path):
    video = live(tmp_path, every=3)
    list(record((step(i, total=20) for i in range(21)), [video]))
    found = frames(tmp_path / "progress.mp4")
    assert [which(frame, total=20) for frame in found] == [0, 3, 6, 9, 12, 15, 18, 20]


@pytest.mark.slow
def test_a_long_run_fits_into_twenty_seconds(tmp_path):
    video = live(tmp_path, fps=2)
    list(record((step(i, total=400, size=(16, 16)) for i in range(401)), [video]))
    assert len(frames(tmp_path / "progress.mp4")) == 41


@pytest.mark.slow
def test_a_run_of_no_steps(tmp_path):
    list(record(iter([step(0, total=0)]), [live(tmp_path)]))
    assert len(frames(tmp_path / "progress.mp4")) == 1


def test_a_run_without_any_step_leaves_nothing(tmp_path):
    list(record(iter([]), [live(tmp_path)]))
    assert names(tmp_path) == []


@pytest.mark.slow
def test_a_run_that_breaks_off_has_its_video(tmp_path):
    def breaking():
        yield from (step(i) for i in range(10))
        raise ArithmeticError("nan")

    with pytest.raises(ArithmeticError):
        list(record(breaking(), [live(tmp_path)]))
    assert names(tmp_path) == ["progress.mp4"]
    assert len(frames(tmp_path / "progress.mp4")) == 10


@pytest.mark.slow
def test_all_frames_so_far_are_in_the_part_before_it_is_closed(tmp_path):
    video = live(tmp_path)
    for i in range(20):
        video(step(i))
    # a fragment is complete when the next frame tells how long it lasts
    found = wait_for_frames(tmp_path / "progress.part.mp4", 19)
    assert [which(frame) for frame in found] == list(range(len(found)))
    video.close()


def killed(folder, last, monkeypatch):
    """What kill -9 leaves: the part, never closed."""
    video = live(folder)
    for i in range(last + 1):
        video(step(i))
    wait_for_frames(folder / "progress.part.mp4", last)
    data = (folder / "progress.part.mp4").read_bytes()
    video.close()
    (folder / "progress.mp4").unlink()
    (folder / "progress.part.mp4").write_bytes(data)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_its_frames(tmp_path, monkeypatch):
    killed(tmp_path, 30, monkeypatch)
    list(record((step(i) for i in range(20, 61)), [live(tmp_path, resume_at=20)]))
    assert names(tmp_path) == ["progress.mp4"]
    found = frames(tmp_path / "progress.mp4")
    assert [which(frame) for frame in found] == list(range(61))
    assert about(tmp_path / "progress.mp4")["duration"] == pytest.approx(61 / 30, abs=0.05)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_its_frames(tmp_path):
    list(record((step(i) for i in range(25)), [live(tmp_path)]))
    list(record((step(i) for i in range(24, 61)), [live(tmp_path, resume_at=24)]))
    assert names(tmp_path) == ["progress.mp4"]
    assert [which(frame) for frame in frames(tmp_path / "progress.mp4")] == list(range(61))


@pytest.mark.slow
def test_killed_while_it_took_the_frames_over(tmp_path, monkeypatch):
    killed(tmp_path, 30, monkeypatch)
    (tmp_path / "progress.part.mp4").rename(tmp_path / "progress.old.mp4")
    (tmp_path / "progress.part.mp4").write_bytes(b"")
    list(record((step(i) for i in range(20, 61)), [live(tmp_path, resume_at=20)]))
    assert names(tmp_path) == ["progress.mp4"]
    assert [which(frame) for frame in frames(tmp_path / "progress.mp4")] == list(range(61))


@pytest.mark.slow
def test_an_earlier_part_that_can_not_be_read_costs_its_frames_only(tmp_path, caplog):
    (tmp_path / "progress.part.mp4").write_bytes(b"no video")
    with caplog.at_level(logging.WARNING):
        list(record((step(i) for i in range(20, 61)), [live(tmp_path, resume_at=20)]))
    assert "lacks its frames" in caplog.text
    assert names(tmp_path) == ["progress.mp4"]
    assert [which(frame) for frame in frames(tmp_path / "progress.mp4")] == list(range(20, 61))


@pytest.mark.slow
def test_a_run_from_the_start_replaces_what_lies_there(tmp_path):
    for name in ("progress.part.mp4", "progress.old.mp4", "progress.mp4"):
        (tmp_path / name).write_bytes(b"old")
    list(record((step(i) for i in range(5)), [live(tmp_path)]))
    assert names(tmp_path) == ["progress.mp4"]
    assert len(frames(tmp_path / "progress.mp4")) == 5


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.slow
def test_a_full_disk_is_reported_at_the_end_and_stops_nothing(tmp_path, monkeypatch, count):
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", f"write@progress.part.mp4:{count}:enospc")
    video = live(tmp_path)
    for i in range(200):  # more than may wait: an encoder that is gone blocks nobody
        video(step(i, total=200, size=(16, 16)))
    with pytest.raises(OutputError, match=r"progress\.mp4: No space left"):
        video.close()
    assert not (tmp_path / "progress.mp4").exists()
    if count > 1:
        assert len(frames(tmp_path / "progress.part.mp4")) == count - 1


@pytest.mark.parametrize("place", ["create", "fsync", "rename"])
@pytest.mark.slow
def test_a_full_disk_at_the_end_keeps_the_part(tmp_path, monkeypatch, place):
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", f"{place}@progress.mp4:1:enospc")
    video = live(tmp_path)
    for i in range(5):
        video(step(i))
    with pytest.raises(OutputError, match=r"the frames so far are in progress\.part\.mp4"):
        video.close()
    assert names(tmp_path) == ["progress.part.mp4"]
    assert len(frames(tmp_path / "progress.part.mp4")) == 5


def test_a_video_is_not_worth_the_run(tmp_path, caplog):
    steps = record((step(i) for i in range(5)), [BestEffort(live(tmp_path / "not there"))])
    assert [each.index for each in steps] == [0, 1, 2, 3, 4]
    assert "not there" in caplog.text
    assert "the run goes on" in caplog.text


@pytest.mark.slow
def test_the_loop_waits_only_for_a_full_queue(tmp_path, monkeypatch):
    """64 frames and the one in the encoder's hands are taken while it does nothing."""
    released = threading.Event()
    add = video_encoder.Encoder.add

    def slow(self, frame, number=None):
        released.wait()
        add(self, frame, number)

    monkeypatch.setattr(video_encoder.Encoder, "add", slow)
    video = live(tmp_path)
    for i in range(64):
        video(step(i, total=200, size=(16, 16)))
    released.set()
    for i in range(64, 201):
        video(step(i, total=200, size=(16, 16)))
    video.close()
    assert len(frames(tmp_path / "progress.mp4")) == 201


def test_every_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="starts at 1"):
        live(tmp_path, every=0)


@pytest.mark.slow
def test_a_run_without_a_video_needs_no_encoder():
    script = (
        "import sys\n"
        "sys.modules['av'] = sys.modules['imageio'] = None\n"  # as if they were not installed
        "import guidegen.engine.generate\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

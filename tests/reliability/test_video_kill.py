"""kill -9 in the middle of a live video: it plays up to its last fragment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guidegen.recorders.video import LiveVideo
from guidegen.utils.files import replacing
from tests.helpers.recording import record
from tests.helpers.tiny_clip import make_tiny_clip
from tests.helpers.videos import frames, playable, step, wait_for_frames, which
from tests.reliability.harness import guidegen, pictures

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Shows some frames and waits until it is killed.
CHILD = """
import sys
from pathlib import Path
from guidegen.recorders.video import LiveVideo
from guidegen.utils.files import replacing
from tests.helpers.videos import step

folder, told = Path(sys.argv[1]), int(sys.argv[2])
video = LiveVideo(folder, replacing)
for i in range(told + 1):
    video(step(i))
sys.stdin.read()
"""


@pytest.mark.parametrize("told", [2, 37])
def test_a_killed_recorder_leaves_a_video_that_plays(tmp_path, told):
    words = [sys.executable, "-c", CHILD, str(tmp_path), str(told)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, cwd=ROOT, env=env, stdin=subprocess.PIPE) as child:
        # the last one waits for the next to know how long it lasts
        wait_for_frames(tmp_path / "progress.part.mp4", told)
        child.kill()
        assert child.wait() == -signal.SIGKILL
    found = playable(tmp_path / "progress.part.mp4")
    assert len(found) >= told
    assert [which(frame) for frame in found] == list(range(len(found)))
    # and the run that goes on has them all
    list(
        record((step(i) for i in range(told, 61)), [LiveVideo(tmp_path, replacing, resume_at=told)])
    )
    whole = frames(tmp_path / "progress.mp4")
    assert [which(frame) for frame in whole] == list(range(61))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


def words(clip):
    settings = ["--generator", "pixels", "--size", 32, "--cutouts", 2, "--steps", 30]
    settings += ["--save-every", 10, "--perceptor", f"local-dir:{clip}", "--quiet", "--video"]
    return ["a red dot", *settings]


def runs(folder):
    return list(Path(folder).glob("outputs/*"))


def test_a_killed_run_has_a_video_and_goes_on_with_it(tmp_path, clip):
    code, _ = guidegen(*words(clip), cwd=tmp_path, fail="step@25:1:kill")
    assert code == -signal.SIGKILL
    (run,) = runs(tmp_path)
    assert not (run / "progress.mp4").exists()
    # those that waited for the encoder are lost; how many is chance
    part = run / "progress.part.mp4"
    kept = len(playable(part)) if part.is_file() else 0
    code, err = guidegen(*words(clip), cwd=tmp_path)
    assert code == 0, err
    assert pictures(tmp_path)
    assert len(frames(run / "progress.mp4")) == min(kept, 20) + 11
    assert not (run / "progress.part.mp4").exists()


def test_a_stopped_run_has_a_whole_video(tmp_path, clip):
    code, _ = guidegen(*words(clip), cwd=tmp_path, fail="step@12:1:int")
    assert code == 130
    (run,) = runs(tmp_path)
    assert not (run / "progress.part.mp4").exists()
    assert len(frames(run / "progress.mp4")) == 13
    code, err = guidegen("resume", run, "--quiet", cwd=tmp_path)
    assert code == 0, err
    assert len(frames(run / "progress.mp4")) == 31


def test_a_full_disk_costs_the_video_and_not_the_picture(tmp_path, clip):
    fail = "write@progress.part.mp4:5:enospc"
    code, err = guidegen(*words(clip), cwd=tmp_path, fail=fail)
    assert code == 0
    assert "No space left" in err
    assert pictures(tmp_path)
    # the picture is there, the video that was asked for is not: it is made again
    code, err = guidegen(*words(clip), cwd=tmp_path)
    assert code == 0, err
    (run,) = runs(tmp_path)
    assert len(frames(run / "progress.mp4")) == 31

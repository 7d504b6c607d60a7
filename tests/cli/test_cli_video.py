"""`guidegen video` and `guidegen morph`."""

import subprocess
import sys

import pytest

from tests.helpers.videos import frames
from tests.unit.video.test_render import make_run


@pytest.fixture
def made(tmp_path):
    out = tmp_path / "outputs"
    return [make_run(out, prompt=words, states=3, seed=i) for i, words in enumerate(("one", "two"))]


QUICK = ("--seconds", 0.5, "--hold", 0, "--fps", 8)


@pytest.mark.slow
def test_a_video_lies_in_its_run(run, made):
    done = run("video", made[0].path, *QUICK)
    assert done.code == 0, done.err
    assert done.out.strip() == str(made[0].path / "video.mp4")
    assert frames(made[0].path / "video.mp4").shape == (4, 48, 48, 3)


@pytest.mark.slow
def test_a_run_is_named_by_its_picture(run, made):
    (made[0].path / "image.png").touch()
    assert run("video", made[0].path / "image.png", *QUICK).code == 0
    assert (made[0].path / "video.mp4").is_file()


@pytest.mark.slow
def test_a_video_for_each_run(run, made):
    done = run("video", *(each.path for each in made), *QUICK)
    assert done.code == 0, done.err
    assert done.out.split() == [str(each.path / "video.mp4") for each in made]


@pytest.mark.slow
def test_side_by_side(run, made, tmp_path):
    runs = [each.path for each in made]
    done = run("video", *runs, *QUICK, "--side-by-side", "--out", "both.mp4", "--size", 32)
    assert done.code == 0, done.err
    assert frames(tmp_path / "both.mp4").shape == (4, 32, 64, 3)
    assert run("video", *runs, *QUICK, "--side-by-side").out.strip() == str(
        made[0].path / "side-by-side.mp4"
    )


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.slow
def test_format_by_name_or_suffix(run, made, tmp_path, kind):
    assert run("video", made[0].path, *QUICK, "--format", kind).code == 0
    assert run("video", made[0].path, *QUICK, "-o", f"a.{kind}").code == 0
    assert (made[0].path / f"video.{kind}").read_bytes() == (tmp_path / f"a.{kind}").read_bytes()


@pytest.mark.slow
def test_morph(run, made, tmp_path):
    runs = [each.path for each in made]
    done = run("morph", *runs, *QUICK, "--loop", "--out", "m.mp4")
    assert done.code == 0, done.err
    assert len(frames(tmp_path / "m.mp4")) == 2 * (4 + 1)
    done = run("morph", *runs, *QUICK, "--crossfade")
    assert done.code == 0, done.err
    assert done.out.strip().startswith(str(tmp_path / "outputs" / "morph-"))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["video"], 2, "name a run"),
        (["video", "nowhere"], 7, "no run at nowhere"),
        (["video", "RUN", "--seconds", "0"], 2, "--seconds"),
        (["video", "RUN", "--fps", "1000"], 2, "--fps"),
        (["video", "RUN", "--format", "gif", "--fps", "60"], 2, "gif has 1 to 50"),
        (["video", "RUN", "--size", "4"], 2, "--size"),
        (["video", "RUN", "--ease", "bounce"], 2, "bounce"),
        (["video", "RUN", "--out", "a.avi"], 2, ".mp4, .gif or .webp"),
        (["video", "RUN", "--out", "a.gif", "--format", "mp4"], 2, "does not fit"),
        (["video", "RUN", "RUN", "--out", "a.mp4"], 2, "--side-by-side"),
        (["video", "RUN", "--out", "RUN/run.json/a.mp4"], 6, "--out: can't write"),
        (["video", "RUN", "--device", "cuda:77"], 2, "no cuda:77"),
        (["morph", "RUN"], 2, "at least two"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(run, made, words, code, says):
    done = run(*(word.replace("RUN", str(made[0].path)) for word in words))
    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not (made[0].path / "video.mp4").exists()


def test_a_deleted_trajectory_of_one_run_is_told_before_any_work(run, made):
    (made[1].path / "trajectory.safetensors").unlink()
    done = run("video", *(each.path for each in made), *QUICK)
    assert done.code == 7
    assert "has no trajectory" in done.err
    assert "by force: guidegen generate" in done.err
    assert not (made[0].path / "video.mp4").exists()


def test_the_commands_load_no_torch_before_they_run():
    code = "import sys, guidegen.cli.video, guidegen.cli.morph; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

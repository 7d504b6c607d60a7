"""kill -9 anywhere, go on, and get the pixels of an undisturbed run."""

import random
import shutil
import signal

import pytest

from tests.helpers.tiny_clip import make_tiny_clip
from tests.reliability.harness import guidegen, leftovers, losses, pictures

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


def collage(clip):
    """60 steps with proposals, whose random numbers must go on as well, and a moving average."""
    words = ["a dog next to a red car", "--size", 64, "--cutouts", 2, "--starts", 2, "--ema", 0.8]
    words += ["--steps", 60]
    return [*words, "--perceptor", f"local-dir:{clip}", "--save-every", 10, "--quiet"]


def pixels(clip, *prompts):
    words = ["--generator", "pixels", "--size", 16, "--cutouts", 2, "--steps", 60]
    return [*(prompts or ["a red dot"]), *words, "--perceptor", f"local-dir:{clip}", "--quiet"]


@pytest.fixture(scope="module")
def whole_collage(tmp_path_factory, clip, cache):
    folder = tmp_path_factory.mktemp("whole")
    code, err = guidegen(*collage(clip), cwd=folder, GUIDEGEN_CACHE=cache)
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def whole_pixels(tmp_path_factory, clip):
    folder = tmp_path_factory.mktemp("whole")
    code, err = guidegen(*pixels(clip), cwd=folder, log=folder / "places")
    assert code == 0, err
    return folder


@pytest.mark.parametrize("step", sorted(random.Random(4).sample(range(60), 12)))
def test_killed_at_any_step(tmp_path, clip, cache, whole_collage, step):
    code, _ = guidegen(
        *collage(clip), cwd=tmp_path, fail=f"step@{step}:1:kill", GUIDEGEN_CACHE=cache
    )
    assert code == KILLED
    assert not list(tmp_path.glob("outputs/*/image.png"))
    code, err = guidegen(*collage(clip), cwd=tmp_path, GUIDEGEN_CACHE=cache)
    assert code == 0, err
    assert pictures(tmp_path) == pictures(whole_collage)
    assert losses(tmp_path) == losses(whole_collage)
    assert not leftovers(tmp_path)


def places(folder):
    """Every place that an undisturbed run reaches, once; of the many appended lines three."""
    reached = (folder / "places").read_text().split()
    counts = {}
    for place in reached:
        counts[place] = counts.get(place, 0) + 1
    for place, count in counts.items():
        if place.startswith("step@"):
            continue
        if place.endswith("@preview.png"):
            count = 1  # the others come by the clock
        times = range(1, count + 1) if count <= 3 else (1, count // 2, count)
        yield from (f"{place}:{time}" for time in times)


def test_killed_inside_every_write(tmp_path, clip, whole_pixels):
    wanted = pictures(whole_pixels)
    tried = list(places(whole_pixels))
    # run.json, steps.jsonl, two states and parts of the trajectory, the whole of it, the picture
    assert len(tried) > 35
    for place in tried:
        folder = tmp_path / place.replace(":", "-").replace("@", "-")
        folder.mkdir()
        code, _ = guidegen(*pixels(clip), cwd=folder, fail=f"{place}:kill")
        assert code == KILLED, place
        code, err = guidegen(*pixels(clip), cwd=folder)
        assert code == 0, (place, err)
        assert pictures(folder) == wanted, place
        assert losses(folder) == losses(whole_pixels), place
        assert not leftovers(folder), place
        shutil.rmtree(folder)


@pytest.mark.parametrize("place", ["create", "write", "fsync", "rename"])
@pytest.mark.parametrize(
    "file", ["run.json", "state-20.safetensors", "trajectory-0.safetensors", "image.png"]
)
def test_a_full_disk_loses_nothing(tmp_path, clip, whole_pixels, place, file):
    code, err = guidegen(*pixels(clip), cwd=tmp_path, fail=f"{place}@{file}:1:enospc")
    assert code == 6
    assert err.startswith("guidegen: can't write ")
    assert err.endswith(f"{file}: No space left on device\n")
    assert err.count("\n") == 1
    code, err = guidegen(*pixels(clip), cwd=tmp_path)
    assert code == 0, err
    assert pictures(tmp_path) == pictures(whole_pixels)
    assert not leftovers(tmp_path)


def test_a_story_with_a_moving_camera_goes_on(tmp_path, clip):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = pixels(clip, "a red dot ^ a blue dot|sky:0.5")
    words += ["--zoom", 1.1, "--shift", "0.1,0", "--rotate", 5, "--move-every", 7]
    for folder in (whole, broken):
        folder.mkdir()
    assert guidegen(*words, cwd=whole)[0] == 0
    assert guidegen(*words, cwd=broken, fail="step@47:1:kill")[0] == KILLED
    assert guidegen(*words, cwd=broken)[0] == 0
    assert pictures(broken) == pictures(whole)


def test_killed_again_while_going_on(tmp_path, clip, whole_pixels):
    for fail in ["step@25:1:kill", "step@30:1:kill", "write@state-40.safetensors:1:kill",
                 "rename@state-40.safetensors:1:kill", "create@run.json:1:kill",
                 "step@59:1:kill", "rename@image.png:1:kill"]:  # fmt: skip
        code, _ = guidegen(*pixels(clip), cwd=tmp_path, fail=fail)
        assert code == KILLED, fail
    code, err = guidegen(*pixels(clip), cwd=tmp_path)
    assert code == 0, err
    assert pictures(tmp_path) == pictures(whole_pixels)
    assert losses(tmp_path) == losses(whole_pixels)


def test_a_batch_of_sixteen_goes_on_wherever_it_was_killed(tmp_path, clip):
    prompts = [f"thing number {n}" for n in range(16)]
    whole = tmp_path / "whole"
    whole.mkdir()
    assert guidegen(*pixels(clip, *prompts), cwd=whole)[0] == 0
    broken = tmp_path / "broken"
    broken.mkdir()
    kills = [
        "step@33:1:kill",  # within the first eight
        "rename@state-40.safetensors:4:kill",  # when half of them had saved that step
        "rename@image.png:3:kill",  # when two were finished
        "step@5:1:kill",  # the second eight
        "write@state-20.safetensors:2:kill",
    ]
    for fail in kills:
        code, _ = guidegen(*pixels(clip, *prompts), cwd=broken, fail=fail)
        assert code == KILLED, fail
    code, err = guidegen(*pixels(clip, *prompts), cwd=broken)
    assert code == 0, err
    assert len(pictures(broken)) == 16
    assert pictures(broken) == pictures(whole)
    assert losses(broken) == losses(whole)

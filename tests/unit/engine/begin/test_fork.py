"""Starting where another run was."""

import pytest
import torch

from guidegen.config import make_config
from guidegen.engine.begin.fork import init_latents
from guidegen.engine.generate import generate
from guidegen.engine.resolve import check
from guidegen.errors import ConfigError, InputImageError
from guidegen.recorders.trajectory import read_trajectory
from tests.helpers.lists import fast
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def settings(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return {**fast(clip), "prompt": "a", "steps": 5, "out": out, "preview": False}


@pytest.fixture(scope="module")
def parent(settings):
    (picture,) = generate([make_config(settings)])
    return picture.run.path


def draw(settings, **more):
    (picture,) = generate([make_config({**settings, **more})])
    return picture.run


def test_a_fork_begins_with_the_latents_of_the_moment(settings, parent):
    run = draw(settings, init_run=f"{parent}@3", prompt="another", seed=4)
    there, here = read_trajectory(parent), read_trajectory(run.path)
    for name, value in there.latents.items():
        assert torch.equal(here.latents[name][0], value[3])
        assert not torch.equal(here.latents[name][1], value[4])
    assert torch.equal(init_latents(str(parent))["pixels"][0], there.latents["pixels"][-1])


def test_where_the_parent_lies_does_not_matter_but_the_moment_does(settings, parent, tmp_path):
    def digest(text):
        return make_config({**settings, "init_run": text}).digest()

    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "run.json").write_bytes((parent / "run.json").read_bytes())
    assert digest(f"{parent}@3") == digest(f"{moved}@3")
    assert digest(f"{parent}@3") != digest(f"{parent}@2")
    assert digest(f"{parent}@3") != make_config(settings).digest()


@pytest.mark.parametrize(
    ("text", "more", "error", "says"),
    [
        ("{parent}@9", {}, InputImageError, "recorded the steps 0 to 5"),
        ("nowhere", {}, InputImageError, "no run at"),
        ("{parent}", {"size": "48"}, ConfigError, "drawn with size 32, not 48"),
        ("{parent}", {"generator": "fourier"}, ConfigError, "drawn with generator pixels"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(settings, parent, text, more, error, says):
    fields = {**settings, **more, "init_run": text.format(parent=parent)}
    with pytest.raises(error, match=says) as caught:
        check([make_config(fields)])
    assert caught.value.field == "init_run"

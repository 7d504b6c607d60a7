"""The command line on the real engine, with a tiny CLIP of random weights."""

import hashlib
import json
import shlex
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

import guidegen
from guidegen.runs import metadata
from guidegen.runs.store import Run
from tests.helpers.tiny_clip import make_tiny_clip

FAST = ["-g", "pixels", "--size", "32", "--steps", "3", "--cutouts", "2", "--device", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def clip(tmp_path_factory):
    """Its path goes into the flags that all tests here share."""
    folder = make_tiny_clip(tmp_path_factory.mktemp("clip"))
    FAST.extend(["--perceptor", f"local-dir:{folder}"])
    yield folder
    del FAST[-2:]


def pixels(path):
    with Image.open(path) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def test_a_prompt_becomes_a_run_directory(run):
    result = run("a red dot", "--seed", 7, *FAST)
    assert result.code == 0, result.err
    path = Path(result.out.strip())
    assert path.parent.name.startswith("a-red-dot-7-")
    with Image.open(path) as image:
        assert image.size == (32, 32)
    record = metadata.read(path)
    assert (record.config.seed, record.config.steps, record.config.lr) == (7, 3, 0.02)
    assert list(record.models) == [FAST[-1]]
    kept = Run.load(path.parent)
    assert kept.status == "finished"
    assert kept.scores == record.scores
    lines = (path.parent / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3]
    with safe_open(path.parent / "trajectory.safetensors", "pt") as file:
        assert file.get_slice("pixels").get_shape()[0] == 4
    assert not list(path.parent.glob(".*"))


def test_the_same_command_gives_the_same_picture_alone_or_among_others(run):
    one = run("a red dot", "--seed", 7, *FAST).out.strip()
    before = pixels(one)
    again = run("a red dot", "--seed", 7, *FAST)
    assert (again.out.strip(), pixels(one)) == (one, before)
    assert "made earlier" in again.err
    many = run("a green dot", "a red dot", "--seed", 6, "-n", 2, "--force", *FAST).out.splitlines()
    assert one in many
    assert pixels(one) == before
    assert len({pixels(path) for path in many}) == 4


def test_what_show_prints_makes_it_again(run):
    path = run("a red dot", "--seed", 7, *FAST, "-o", "x.png").out.strip()
    before = pixels(path)
    command = json.loads(run("show", path, "--json").out)["command"]
    words = shlex.split(command)[1:]
    remade = run(*words, "-o", "y.png", "--force")
    assert remade.code == 0, remade.err
    assert pixels("y.png") == before


def test_no_metadata_after_a_run_with_metadata(run):
    run("a red dot", "--seed", 7, *FAST)
    path = run("a red dot", "--seed", 7, "--no-metadata", *FAST).out.strip()
    with Image.open(path) as image:
        assert image.info == {}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--size", "5000"], 2, "--size"),
        (["--size", "3000"], 2, "16 to 2048"),
        (["--size", "640x64"], 2, "too narrow"),
        (["--init-image", "none.png"], 7, "none.png"),
        (["--init-image", "text.png"], 7, "text.png"),
        (["--device", "cuda:99"], 2, "cuda"),
    ],
)
def test_the_engine_refuses_before_work(run, tmp_path, words, code, says):
    (tmp_path / "text.png").write_text("no image")
    flags = {**dict(zip(FAST[::2], FAST[1::2], strict=True)), words[0]: words[1]}
    result = run("a red dot", "--seed", 7, "--quiet", *chain(*flags.items()))
    assert (result.code, result.out) == (code, ""), result.err
    assert says in result.err
    assert result.err.count("\n") == 1
    assert not list((tmp_path / "outputs").glob("*/*"))


def test_ctrl_c_keeps_the_picture_so_far(run, monkeypatch):
    from guidegen.recorders.progress import Progress

    def stop(self, step):
        if step.index == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__call__", stop)
    result = run("a red dot", "--seed", 7, *FAST)
    assert result.code == 130
    assert "kept" in result.err.splitlines()[-1]
    (folder,) = Path("outputs").iterdir()
    kept = Run.load(folder)
    assert kept.status == "interrupted"
    assert metadata.read(kept.image).config.seed == 7


def test_the_api(tmp_path, monkeypatch, clip):
    monkeypatch.chdir(tmp_path)
    settings = {"generator": "pixels", "size": 32, "steps": 2, "cutouts": 2, "device": "cpu"}
    settings["perceptor"] = f"local-dir:{clip}"
    picture = guidegen.generate("a red dot", seed=7, out=None, progress=True, **settings)
    assert picture.image.size == (32, 32)
    assert (picture.path, picture.run) == (None, None)
    assert not list(tmp_path.iterdir())
    kept = guidegen.generate("a red dot", seed=7, **settings)
    assert kept.image.tobytes() == picture.image.tobytes()
    assert kept.run.path == kept.path.parent

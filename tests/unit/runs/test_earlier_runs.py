"""Runs, pictures and lists that an earlier guidegen made still open and go on.

The files in tests/fixtures were written by commit 48b6a87 (format 1), with 16 px pictures of the
pixels generator and the embedded CLIP: a finished run, one that was stopped at step 3 of 5, a list.
"""

import hashlib
import json
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from guidegen.cli.main import main
from guidegen.config import make_config
from guidegen.engine import generate as engine
from guidegen.errors import ConfigError
from guidegen.runs import metadata
from guidegen.runs.store import Run
from guidegen.video.render import render
from guidegen.video.settings import VideoSettings
from tests.helpers.lists import draw
from tests.unit.test_config import FULL

MADE = Path(__file__).parents[2] / "fixtures" / "runs-of-48b6a87"
# config -> digest with the models {"m": "1"}, and the key of a list's job, as they were then
DIGESTS = [
    ({"prompt": "a red apple"},
     "2558b7f5782460df381aa042060349815bfd6f034ad3dfe9a79028d5c659de65", 15697475138879250625),
    ({name: value for name, value in FULL.items() if name != "until_loss"},
     "655636493215e9d32e5973577b733bf47266ee272de130514083fc4f7ed5dd15", 2256565372134394518),
]  # fmt: skip
THEN = {
    "prompt", "negative", "negative_weight", "image_prompt", "noise_prompt", "preset", "template",
    "generator", "option", "perceptor", "seed", "steps", "cutouts", "cutout_batch",
    "cutout_method", "cutout_noise", "starts", "size", "lr", "lr_end", "optimizer", "distance",
    "prior", "init_weight", "ema", "zoom", "shift", "rotate", "move_every", "save_every",
    "init_image", "device", "precision", "generator_precision", "out", "video", "metadata",
}  # fmt: skip


@pytest.fixture
def made(tmp_path):
    return Path(shutil.copytree(MADE, tmp_path / "made"))


@pytest.mark.parametrize(("fields", "digest", "key"), DIGESTS)
def test_digests_and_keys_are_those_of_then(fields, digest, key):
    config = make_config({name: value for name, value in fields.items() if name in THEN})
    assert config.digest({"m": "1"}) == digest
    assert int.from_bytes(hashlib.blake2b(config.key(), digest_size=8).digest()) == key


def test_every_run_and_every_picture_opens():
    manifests = list(MADE.glob("*/*/run.json"))
    assert len(manifests) == 4
    for manifest in manifests:
        run = Run.load(manifest)
        told = json.loads(manifest.read_text())
        assert run.config.digest({**run.models, "guidegen": "0.1.0"}) == told["digest"]
        assert sorted(metadata.command(run.config).split()) == sorted(told["command"].split())
        assert metadata.read(run.image).config.digest() == run.config.digest()
        assert (run.ended, run.last_step) == ("", None)


def test_a_stopped_run_goes_on(made, monkeypatch):
    monkeypatch.setattr("guidegen.engine.picture.own_version", lambda: "0.1.0")
    (folder,) = made.glob("outputs/a-red-dot-*")
    run = Run.load(folder)
    assert run.status == "interrupted"
    engine.check_same(run)
    config = run.config.model_copy(update={"out": folder.parent})
    (picture,) = engine.generate([config])
    assert (picture.run.path, picture.run.resumed_at) == (folder, [3])
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6))


def test_a_run_of_another_version_says_why_it_can_not_go_on(made, monkeypatch):
    monkeypatch.setattr("guidegen.engine.picture.own_version", lambda: "0.2.0")
    (folder,) = made.glob("outputs/a-red-dot-*")
    with pytest.raises(ConfigError, match=r"by guidegen 0\.1\.0.*can't go on exactly") as caught:
        engine.check_same(Run.load(folder))
    assert "\n" not in str(caught.value)


def test_a_list_draws_nothing_again(made, monkeypatch):
    monkeypatch.setattr("guidegen.engine.picture.own_version", lambda: "0.1.0")
    settings = {
        "generator": "pixels", "size": "16", "cutouts": 2, "device": "cpu", "steps": 1,
        "precision": "fp32", "generator_precision": "fp32",
    }  # fmt: skip
    results = draw(made / "list.txt", made / "listed", settings)
    assert [(result.status, result.reused) for result in results] == [("finished", True)] * 2


@pytest.mark.slow
def test_a_picture_of_then_tells_its_settings_and_makes_itself_again(made, monkeypatch, capsys):
    monkeypatch.setattr("guidegen.engine.picture.own_version", lambda: "0.1.0")
    monkeypatch.chdir(made)
    (picture,) = made.glob("outputs/a-boat-*/image.png")
    told = json.loads((picture.parent / "run.json").read_text())
    assert main(["show", str(picture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["negative"] == ["fog"]
    assert main(["--config", str(picture), "--print-config"]) == 0
    settings = tomllib.loads(capsys.readouterr().out)
    assert {name: settings[name] for name in ("template", "noise_prompt", "ema", "seed")} == {
        name: told["config"][name] for name in ("template", "noise_prompt", "ema", "seed")
    }
    # the command that it was written with finds it
    assert main(shlex.split(told["command"])[1:]) == 0
    assert capsys.readouterr().out == f"{picture.relative_to(made)}\n"


@pytest.mark.slow
def test_a_trajectory_of_then_becomes_a_video(made):
    (run,) = map(Run.load, made.glob("outputs/a-red-dot-*"))
    settings = VideoSettings(format="gif", fps=8, seconds=0.5, hold=0)
    with Image.open(render([run], made / "then.gif", settings, device="cpu")) as video:
        assert (video.size, video.n_frames) == ((16, 16), 4)

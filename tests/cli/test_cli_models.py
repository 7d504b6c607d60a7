"""`guidegen models`, from the command line to pictures."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from guidegen.utils.locks import locked
from guidegen.weights import store as weights
from guidegen.weights.catalog import read_registry
from tests.helpers.synthetic import (
    BIGGAN_FAMILIES,
    VQGAN_FAMILIES,
    biggan_config,
    vqgan_config,
    vqgan_state,
    vqgan_yaml,
    write_biggan,
    write_lightning,
    write_vqgan,
)
from tests.helpers.tiny_clip import make_tiny_clip
from tests.unit.weights.test_download import serving

HEAVY = ("torch", "numpy", "PIL", "open_clip", "torchvision", "huggingface_hub", "yaml")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "store"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A Lightning checkpoint as a host has it: its bytes and its config."""
    config = vqgan_config()
    path = tmp_path_factory.mktemp("published") / "last.ckpt"
    write_lightning(path, {**vqgan_state(config), "loss.a": vqgan_state(config)["quant_conv.bias"]})
    return path.read_bytes(), config


def listing(path, urls, data, config, *, sha256=None):
    """A registry file with one checkpoint."""
    dd = json.dumps(config["ddconfig"]).replace(": ", " = ").replace("= [", "= [")
    digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    path.write_text(
        f"""
[[checkpoint]]
name = "vqgan/imagenet-f16-16384"
family = "vqgan"
good_for = "tests"
licence = "none at all"
format = "Lightning"
{f"size = {len(data)}" if digest else ""}
sha256 = "{digest}"
config = {{ kind = "VQModel", embed_dim = 8, n_embed = 48, ddconfig = {_toml(dd)} }}
sources = [{", ".join(f'{{ url = "{url}" }}' for url in urls)}]
"""
    )
    return path


def _toml(text):
    # JSON's objects differ from TOML's inline tables in the quotes and the equals sign alone
    return text.replace('"', "")


@pytest.mark.slow
def test_list_shows_all_and_loads_nothing_heavy():
    process = subprocess.run(
        [sys.executable, "-c",
         "import sys; from guidegen.cli.main import main; code = main(['models', 'list'])\n"
         f"print(code, [n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert process.stderr.splitlines()[-1] == "0 []"
    lines = process.stdout.splitlines()
    for name, one in read_registry().checkpoints.items():
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert one.size_text in line
        assert one.good_for in line
        assert " here " in line


def test_list_as_json_tells_states(run, tmp_path, store):
    import_one(run, tmp_path, "vqgan/mine")
    (store / "vqgan" / "broken").mkdir()
    hub = tmp_path / "hub" / "models--timm--vit_base_patch32_clip_224.openai" / "snapshots" / "c"
    hub.mkdir(parents=True)
    (hub / "open_clip_model.safetensors").write_bytes(b"x")
    rows = {row["name"]: row for row in json.loads(run("models", "list", "--json").out)}
    assert rows["vqgan/mine"]["state"] == "imported"
    assert rows["vqgan/broken"]["state"] == "damaged"
    assert rows["ViT-B-32/openai"]["state"] == "here"
    assert rows["ViT-B-16/openai"]["state"] == "not here"
    assert rows["biggan/deep-256"]["bytes"] == 234411737
    assert rows["vqgan/coco"]["licence"].startswith("not stated")


def import_one(run, tmp_path, name, family="vqgan/imagenet-f16-1024"):
    path, config = write_vqgan(tmp_path / "in", family)
    done = run("models", "import", path, "--config", config, "--name", name)
    assert done.code == 0, done.err
    return done


@pytest.mark.slow
def test_pull_fetches_converts_and_tells_where(run, tmp_path, store, published):
    data, config = published
    with serving(data) as server:
        urls = [f"{server.base}/missing/last.ckpt", f"{server.base}/half/last.ckpt"]
        known = listing(tmp_path / "r.toml", urls, data, config)
        done = run("models", "pull", "vqgan/imagenet-f16-16384", "--registry", known)
        assert done.code == 0, done.err
        assert "HTTP 404" in done.err
        assert "left out, since drawing needs none: 1 of loss" in done.err
        found = weights.stored("vqgan/imagenet-f16-16384")
        assert done.out == f"{found.folder}\n"
        source = json.loads((found.folder / "source.json").read_text())
        assert source["source"] == urls[1]
        assert source["licence"] == "none at all"
        assert source["file_sha256"] == hashlib.sha256(data).hexdigest()
        wanted = vqgan_state(config)
        assert all((load_file(found.weights)[key] == wanted[key]).all() for key in wanted)
        assert not [path for path in (store / ".downloads").rglob("*") if path.is_file()]
        asked = len(server.requests)
        again = run("models", "pull", "vqgan/imagenet-f16-16384", "--registry", known, "-q")
        assert (again.code, again.out, again.err) == (0, done.out, "")
        assert len(server.requests) == asked
        forced = run("models", "pull", "vqgan/imagenet-f16-16384", "--registry", known, "--force")
        assert forced.code == 0
        assert len(server.requests) > asked


def test_the_first_pull_writes_an_unknown_digest_down(run, tmp_path, store, published):
    data, config = published
    name = "vqgan/imagenet-f16-16384"
    with serving(data) as server:
        known = listing(tmp_path / "r.toml", [f"{server.base}/ok/x"], data, config, sha256="")
        assert run("models", "pull", name, "--registry", known).code == 0
        before = hashlib.sha256(data).hexdigest()
        assert json.loads((store / "lock.json").read_text()) == {name: before}
        # the host now serves something else
        server.data = data + b"\0"
        done = run("models", "pull", name, "--registry", known, "--force")
        assert done.code == 5
        assert before in done.err
        assert hashlib.sha256(server.data).hexdigest() in done.err
        weights.stored(name).check()


def test_a_download_that_is_no_model_is_neither_kept_nor_remembered(
    run, tmp_path, store, published
):
    _, config = published
    with serving(b"\x80\x02garbage" * 100) as server:
        known = listing(tmp_path / "r.toml", [f"{server.base}/ok/x"], b"", config, sha256="")
        done = run("models", "pull", "vqgan/imagenet-f16-16384", "--registry", known)
    assert done.code == 5
    assert "cut short or damaged" in done.err
    assert not (store / "lock.json").exists()
    assert not [path for path in store.rglob("*") if path.is_file()]


def test_two_processes_do_not_pull_the_same_at_once(run, tmp_path, store, published):
    data, config = published
    folder = store / ".downloads" / "vqgan--imagenet-f16-16384"
    folder.mkdir(parents=True)
    with serving(data) as server, locked(folder, "it"):
        known = listing(tmp_path / "r.toml", [f"{server.base}/ok/x"], data, config)
        done = run("models", "pull", "vqgan/imagenet-f16-16384", "--registry", known)
        assert done.code == 6
        assert f"another guidegen (process {os.getpid()})" in done.err
        assert server.requests == []


def test_wrong_names_are_refused_before_anything_is_fetched(run, tmp_path, published):
    data, config = published
    with serving(data) as server:
        known = listing(tmp_path / "r.toml", [f"{server.base}/ok/x"], data, config)
        done = run("models", "pull", "vqgan/imagenet-f16-16384", "vqgan/none", "--registry", known)
        assert done.code == 4
        assert server.requests == []
    assert run("models", "pull").code == 2


def test_offline_it_says_what_to_do(run, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = run("models", "pull", "vqgan/imagenet-f16-16384")
    assert done.code == 5
    assert "HF_HUB_OFFLINE is set" in done.err
    assert "import it as vqgan/imagenet-f16-16384: guidegen models import" in done.err
    clip = run("models", "pull", "ViT-B-32/openai")
    assert clip.code == 5
    assert "HF_HUB_OFFLINE is set" in clip.err
    assert "local-dir:FOLDER" in clip.err


@pytest.mark.slow
def test_verify_finds_what_is_damaged(run, tmp_path, store):
    import_one(run, tmp_path, "vqgan/good")
    import_one(run, tmp_path, "vqgan/bad")
    fine = run("models", "verify")
    assert fine.code == 0
    for name in ("clip/embedded", "collage/embedded", "vqgan/good", "vqgan/bad"):
        assert f"{name} " in fine.out
    path = store / "vqgan" / "bad" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 4
    path.write_bytes(data)
    done = run("models", "verify")
    assert done.code == 5
    (line,) = [line for line in done.out.splitlines() if " damaged: " in line]
    assert line.startswith("vqgan/bad ")
    assert "1 damaged: vqgan/bad" in done.err
    assert run("models", "verify", "vqgan/good").code == 0
    assert run("models", "verify", "vqgan/none").code == 4
    (store / "vqgan" / "good" / "source.json").write_text("{")
    assert run("models", "verify", "vqgan/good").code == 5


def test_import_refuses_with_one_line(run, tmp_path, store):
    (tmp_path / "page.ckpt").write_text("<!doctype html>")
    for words, code in (
        (["page.ckpt", "--name", "vqgan/x"], 5),
        (["none.ckpt", "--name", "vqgan/x"], 5),
        (["page.ckpt", "--name", "x"], 2),
        (["page.ckpt"], 2),
    ):
        done = run("models", "import", *words)
        assert done.code == code
        assert len(done.err.splitlines()) == 1
    assert not store.exists()


def test_missing_weights_name_the_pull(run):
    done = run("a fox", "--generator", "vqgan/imagenet-f16-16384", "--steps", "1")
    assert done.code == 5
    assert "guidegen models pull vqgan/imagenet-f16-16384" in done.err


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    return f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'))}"


QUICK = ("vqgan/imagenet-f16-1024",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*VQGAN_FAMILIES, *BIGGAN_FAMILIES)
    ],
)
def test_each_published_family_draws(run, tmp_path, tiny_clip, name):
    """From a file in the published layout to a picture, by the commands that a user gives."""
    backend = name.partition("/")[0]
    if backend == "vqgan":
        path, config = write_vqgan(tmp_path / "in", name)
        size = 64
    else:
        path = write_biggan(tmp_path / "in", name)
        config = path.with_name("config.json")
        size = biggan_config(name)["output_dim"]
    imported = run("models", "import", path, "--config", config, "--name", name)
    assert imported.code == 0, imported.err
    assert run("models", "verify", name).code == 0
    done = run(
        "a fox", "--generator", name, "--perceptor", tiny_clip, "--steps", "2", "--cutouts", "2",
        "--size", size, "--starts", "1", "--device", "cpu", "--out", "fox.png",
    )  # fmt: skip
    assert done.code == 0, done.err
    with Image.open("fox.png") as picture:
        assert picture.size == (size, size)
        assert max(high - low for low, high in picture.getextrema()) > 0


def test_a_yaml_with_code_in_it_is_refused(run, tmp_path, store):
    path, config = write_vqgan(tmp_path / "in", "vqgan/coco")
    text = yaml.safe_dump(vqgan_yaml(vqgan_config("vqgan/coco", 80)))
    config.write_text(f"{text}\nx: !!python/object/apply:os.mkdir [canary]\n")
    done = run("models", "import", path, "--config", config, "--name", "vqgan/x")
    assert done.code == 5
    assert not os.path.exists("canary")
    assert not store.exists()


class Terminal:
    def __init__(self, answer):
        self.answer = answer

    def isatty(self):
        return True

    def readline(self):
        return self.answer


@pytest.mark.parametrize("answer", [None, "\n", "n\n"])
def test_setup_downloads_nothing_without_a_yes(run, tmp_path, published, monkeypatch, answer):
    data, config = published
    monkeypatch.setattr(sys, "stdin", None if answer is None else Terminal(answer))
    with serving(data) as server:
        known = listing(tmp_path / "r.toml", [f"{server.base}/last.ckpt"], data, config)
        done = run("models", "setup", "vqgan/imagenet-f16-16384", "--registry", known)
    assert (done.code, done.out) == (2, "")
    assert "nothing was downloaded" in done.err
    assert weights.find_stored("vqgan/imagenet-f16-16384") is None


@pytest.mark.parametrize("yes", [["--yes"], []])
def test_setup_shows_sizes_asks_once_and_gets_what_is_missing(
    run, tmp_path, published, monkeypatch, yes
):
    data, config = published
    monkeypatch.setattr(sys, "stdin", None if yes else Terminal("y\n"))
    with serving(data) as server:
        known = listing(tmp_path / "r.toml", [f"{server.base}/last.ckpt"], data, config)
        words = ["models", "setup", "vqgan/imagenet-f16-16384", "--registry", known, *yes]
        done = run(*words)
        assert done.code == 0, done.err
        assert weights.find_stored("vqgan/imagenet-f16-16384") is not None
        for told in ("MB", "under a minute", "licence: none at all", 'guidegen "a lighthouse'):
            assert told in done.err
        monkeypatch.setattr(sys, "stdin", None)
        again = run(*words)  # nothing to get, so nothing to ask
        assert again.code == 0
        assert "is here" in again.err

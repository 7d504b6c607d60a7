"""Fetching where there is no connection."""

import logging
import socket
import time

import pytest

from guidegen.clip.perceptor import check_weights
from guidegen.errors import WeightsError
from guidegen.weights.catalog import read_registry
from guidegen.weights.hub import require_hub
from guidegen.weights.pull import pull
from guidegen.weights.store import sha256_file
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(autouse=True)
def no_connection(monkeypatch, tmp_path):
    """A hub of this machine at whose port nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_a_perceptor_that_can_not_be_fetched_is_refused_at_once_and_in_whole_sentences():
    began = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        check_weights(["ViT-B-32/openai"])
    assert time.monotonic() - began < 30  # it took 56 s, with the hub's own retries
    assert (
        "ViT-B-32/openai is not here, and 127.0.0.1 can't be reached (Connection refused)"
        in str(caught.value)
    )
    assert str(caught.value).endswith("local-dir:FOLDER or embedded")


def test_a_pull_without_connection_logs_no_retries(caplog):
    known = read_registry()
    clip = known.find("ViT-B-32/openai")
    hubbed = next(c for c in known.checkpoints.values() if c.family != "clip"
                  and any(source.hub for source in c.sources))  # fmt: skip
    only_hub = type(hubbed)(
        **{**vars(hubbed), "sources": tuple(s for s in hubbed.sources if s.hub)}
    )
    with caplog.at_level(logging.WARNING):
        for one in (clip, only_hub):
            with pytest.raises(WeightsError, match="can't be reached"):
                pull(one)
    assert caplog.text == ""


def test_a_clip_of_the_hub_is_pulled_from_the_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    one = read_registry().find("hf-hub:chs20/TeCoA4-ViT-B-16-laion2B-s34B-b88K")
    folder = tmp_path / "hub" / f"models--{one.sources[0].hub.replace('/', '--')}"
    weights = make_tiny_clip(folder / "snapshots" / "abc") / "open_clip_model.safetensors"
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    pulled = pull(one)
    assert (pulled.path, pulled.sha256, pulled.already) == (weights, sha256_file(weights), True)


def test_offline_by_wish_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        require_hub("x")


def test_what_lies_in_the_cache_needs_no_connection(tmp_path):
    folder = tmp_path / "hub/models--timm--vit_base_patch32_clip_224.openai/snapshots/abc"
    folder.mkdir(parents=True)
    (folder / "open_clip_model.safetensors").write_bytes(b"")
    check_weights(["ViT-B-32/openai", "embedded"])


def test_what_will_be_fetched_is_told_before(monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        check_weights(["ViT-B-32/openai"])
    assert "ViT-B-32/openai are not here yet; they are fetched once and kept" in caplog.text
    assert "MB" in caplog.text


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no weights in"):
        check_weights([f"local-dir:{tmp_path}"])

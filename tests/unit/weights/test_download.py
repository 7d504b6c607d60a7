"""Pulling, from a server that behaves badly in every way we know."""

import hashlib
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from guidegen.errors import ConfigError, OutputError, UnknownNameError, WeightsError
from guidegen.weights import digests, http, store
from guidegen.weights.catalog import CLIP, Checkpoint, Source, read_registry
from guidegen.weights.download import fetch, in_hub_cache
from guidegen.weights.hub import offline

DATA = bytes(range(256)) * 2000
SHA = hashlib.sha256(DATA).hexdigest()
NAME = "vqgan/thing"


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how it behaves."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        how = self.path.split("/")[1]
        if "/resolve/" in self.path:
            return self.hub()
        if how == "missing":
            return self.answer(404, b"no")
        if how == "html":
            return self.answer(200, b"<html>sign in</html>", type_="text/html")
        if how == "disguised":
            return self.answer(200, b"\n<!DOCTYPE html><html>quota</html>")
        if how == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://example.invalid/x")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        data = server.data
        start = 0
        asked = self.headers.get("Range")
        if asked and how != "no-range" and self.headers.get("If-Range") == server.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if asked and how == "no-resume":
            return self.answer(416, b"")
        if start >= len(data):
            return self.answer(416, b"")
        body, cut = data[start:], None
        if how == "half" and not server.mended and len(body) > 1000:
            cut = len(body) // 2
        if how == "stuck":
            cut = 0 if start else len(body) // 2
        if how == "no-resume":
            cut = len(body) // 2
        if how == "stall" and not start:
            return self.stall(body)
        self.answer(206 if start else 200, body, cut=cut, start=start)

    def stall(self, body):
        """Send less than a reader asks for at once, then nothing, and keep the connection."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        self.wfile.write(body[:1000])
        self.server.stalled.wait(20)
        self.close_connection = True

    def answer(self, status, body, *, type_="application/octet-stream", cut=None, start=0):
        self.send_response(status)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.etag)
        if status == 206:
            total = start + len(body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def hub(self):
        """As huggingface.co answers for a file without LFS."""
        self.send_response(200)
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(self.server.data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.data)

    def log_message(self, *args):
        pass


@contextmanager
def serving(data=DATA):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data, server.requests, server.etag, server.mended = data, [], '"one"', False
    server.stalled = threading.Event()
    server.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stalled.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server():
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def online(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def checkpoint(server, *ways, **more):
    sources = tuple(Source(url=f"{server.base}/{way}/model.ckpt") for way in ways)
    return Checkpoint(
        **{"name": NAME, "family": "vqgan", "good_for": "", "licence": "", "format": "",
           "sources": sources, "size": len(DATA), "sha256": SHA, **more}
    )  # fmt: skip


def left(store):
    return sorted(path.name for path in store.rglob("*") if path.is_file())


def test_a_file_comes_whole_with_its_progress(server, tmp_path):
    seen = []
    got = fetch(checkpoint(server, "ok"), tmp_path, progress=lambda *now: seen.append(now))
    assert got.path.read_bytes() == DATA
    assert got.sha256 == SHA
    assert got.path.name.endswith("-model.ckpt")
    assert got.source == f"{server.base}/ok/model.ckpt"
    assert seen[-1] == (len(DATA), len(DATA))
    assert left(tmp_path) == [got.path.name]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    got = fetch(checkpoint(server, "half", size=None), tmp_path)
    assert got.path.read_bytes() == DATA
    ranges = [asked for _, asked, _ in server.requests]
    assert ranges[0] is None
    assert ranges[1:3] == [f"bytes={len(DATA) // 2}-", f"bytes={len(DATA) * 3 // 4}-"]


def test_the_next_pull_goes_on_with_what_the_last_one_left(server, tmp_path):
    one = checkpoint(server, "stuck")
    with pytest.raises(
        WeightsError, match=r"broke off after 256000 of 512000 .* next pull goes on"
    ):
        fetch(one, tmp_path)
    assert left(tmp_path)[0].endswith("-model.ckpt.part")
    with pytest.raises(WeightsError, match="broke off after 256000"):
        fetch(one, tmp_path)
    assert server.requests[-1][1] == "bytes=256000-"


@pytest.mark.parametrize("way", ["half", "no-range"])
def test_a_rest_of_another_file_is_never_joined_on(server, tmp_path, way):
    """The published file changed in between: the tag differs, and all of it is sent again."""
    one = checkpoint(server, "half" if way == "half" else "stuck", size=None, sha256="")
    server.etag = '"old"'
    server.data = b"\1" * len(DATA)
    with pytest.raises(WeightsError, match="broke off"):
        fetch(checkpoint(server, "stuck", size=None, sha256=""), tmp_path)
    server.etag, server.data, server.mended = '"new"', DATA, True
    if way == "no-range":
        # the same address, behind which now stands a server without ranges
        part = next(path for path in (tmp_path / ".downloads").rglob("*.part"))
        one = checkpoint(server, "no-range", size=None, sha256="")
        target = hashlib.sha256(one.sources[0].url.encode()).hexdigest()[:8]
        for path in (part, part.with_name(f"{part.name}.json")):
            path.rename(path.with_name(target + path.name[8:]))
    assert fetch(one, tmp_path).path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("missing", "HTTP 404"),
        ("html", "sent a web page"),
        ("disguised", "sent a web page|is 34 bytes long"),
        ("redirect", "only https is used"),
        ("stuck", "broke off"),
    ],
)
def test_a_bad_source_is_named_and_the_next_one_tried(server, tmp_path, way, why):
    notes = []
    got = fetch(checkpoint(server, way, "ok"), tmp_path, note=notes.append)
    assert got.path.read_bytes() == DATA
    assert len(notes) == 3
    with pytest.raises(WeightsError, match=why) as error:
        fetch(checkpoint(server, way), tmp_path / "other")
    assert f"import it as {NAME}: guidegen models import" in str(error.value)
    assert not [name for name in left(tmp_path / "other") if name.endswith(".ckpt")]


def test_other_bytes_than_published_are_refused_and_removed(server, tmp_path):
    for more, why in (
        ({"sha256": "0" * 64}, f"its SHA-256 is {SHA}, not the published 0000"),
        ({"size": len(DATA) + 1}, "is 512000 bytes long, not 512001"),
        ({"size": len(DATA) - 1}, "is 512000 bytes long, not 511999"),
    ):
        with pytest.raises(WeightsError, match=why):
            fetch(checkpoint(server, "ok", **more), tmp_path)
        assert left(tmp_path) == []


def test_nobody_is_listening(tmp_path):
    with serving() as gone:
        pass
    with pytest.raises(WeightsError, match=r"refused.*Without a connection"):
        fetch(checkpoint(gone, "ok"), tmp_path)


def test_plain_http_is_never_used_for_other_hosts(tmp_path):
    for url in ("http://example.invalid/x.ckpt", "file:///etc/passwd", "ftp://example.invalid/x"):
        one = Checkpoint(NAME, "vqgan", "", "", "", (Source(url=url),))
        with pytest.raises(WeightsError, match="only https is used"):
            fetch(one, tmp_path)


def test_a_full_disk_is_noticed_before_it_is_full(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(OutputError, match="GUIDEGEN_WEIGHTS"):
        fetch(checkpoint(server, "ok"), tmp_path)


def test_offline_nothing_is_asked_of_anybody(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert offline()
    one = checkpoint(server, "ok")
    with pytest.raises(WeightsError, match=r"only the cache was looked at.*guidegen models import"):
        fetch(one, tmp_path)
    assert server.requests == []


def test_an_unknown_digest_is_compared_with_that_of_the_first_pull(server, tmp_path):
    one = checkpoint(server, "ok", sha256="", size=None)
    got = fetch(one, tmp_path)
    digests.record(tmp_path, got.key, got.sha256)
    got.path.unlink()
    assert fetch(one, tmp_path).sha256 == SHA
    (got.path).unlink()
    server.data = DATA[:-1] + b"!"
    other = hashlib.sha256(server.data).hexdigest()
    with pytest.raises(WeightsError) as error:
        fetch(one, tmp_path)
    assert SHA in str(error.value)
    assert other in str(error.value)
    with pytest.raises(WeightsError, match=other):
        digests.record(tmp_path, got.key, other)
    (tmp_path / "lock.json").write_text("[")
    with pytest.raises(WeightsError, match=r"lock\.json"):
        digests.record(tmp_path, got.key, other)


def _record(store, start):
    for number in range(start, start + 20):
        digests.record(store, f"name-{number}", "0" * 64)


@pytest.mark.slow
def test_no_digest_is_lost_between_processes(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record, args=(tmp_path, 100 * k)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(json.loads((tmp_path / "lock.json").read_text())) == 80


HUB = """
import sys
from pathlib import Path
from guidegen.weights.catalog import Checkpoint, Source
from guidegen.weights.download import fetch
from guidegen.errors import WeightsError
source = Source(hub="some/model", revision="main", path="sub/model.ckpt")
one = Checkpoint("vqgan/thing", "vqgan", "", "", "", (source,), sha256=sys.argv[2])
try:
    got = fetch(one, Path(sys.argv[1]))
    print(got.path, got.source, got.ours, sep="\\n")
except WeightsError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_hub_s_cache_and_variables_are_used(server, tmp_path, monkeypatch):
    def hub(store, sha, **more):
        for name, value in {"HF_ENDPOINT": server.base, "HF_HUB_CACHE": str(tmp_path / "cache"),
                            "HF_HUB_DISABLE_XET": "1", **more}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        return subprocess.run(
            [sys.executable, "-c", HUB, str(tmp_path / store), sha],
            check=True, capture_output=True, text=True,
        ).stdout.splitlines()  # fmt: skip

    assert "is not in the hub's cache" in hub("a", SHA, HF_HUB_OFFLINE="1")[0]
    assert server.requests == []
    path, source, ours = hub("a", SHA, HF_HUB_OFFLINE="0")
    assert path.startswith(str(tmp_path / "cache"))
    assert source == f"hf://some/model@{'c' * 40}/sub/model.ckpt"
    assert ours == "False"
    asked = len(server.requests)
    assert hub("a", SHA, HF_HUB_OFFLINE="1")[0] == path
    assert len(server.requests) == asked
    assert "not the published 1111" in hub("a", "1" * 64, HF_HUB_OFFLINE="1")[0]
    assert str(in_hub_cache(Source(hub="some/model", path="sub/model.ckpt"))) == path


def test_the_registry_s_own_entries_make_sense():
    registry = read_registry()
    for name, one in registry.checkpoints.items():
        assert one.name == name
        assert one.good_for
        assert one.licence
        assert len({source.label for source in one.sources}) == len(one.sources)
        assert all(source.url.startswith("https://") or source.hub for source in one.sources)
        assert len(one.sha256) in (0, 64)
        if one.family == CLIP:
            assert not one.config
        else:
            assert name.startswith(f"{one.family}/")
            assert one.config
    for name, digest in registry.embedded.items():
        # a model that ships was changed: write its new folder_digest into checkpoints.toml
        assert store.folder_digest(store.embedded(name)) == digest
    with pytest.raises(UnknownNameError, match="imagenet-f16-16384"):
        registry.find("vqgan/imagenet_f16_16384")


def test_the_clips_of_the_registry_are_open_clip_s():
    import open_clip

    for name, one in read_registry().checkpoints.items():
        if one.family != CLIP:
            continue
        if name.startswith("hf-hub:"):
            assert re.fullmatch(r"hf-hub:[\w-]+/[\w.-]+", name)
            assert one.sources[0].hub == name.removeprefix("hf-hub:")
            assert one.side == 224
        else:
            architecture, tag = name.rsplit("/", 1)
            config = open_clip.get_pretrained_cfg(architecture, tag)
            assert config["hf_hub"].rstrip("/") == one.sources[0].hub
            assert open_clip.get_model_config(architecture)["vision_cfg"]["image_size"] == one.side


@pytest.mark.slow
def test_the_clips_of_the_registry_have_as_many_parameters_as_their_architectures():
    import open_clip
    import torch

    known = [one for one in read_registry().checkpoints.values() if one.family == CLIP]
    counts = {}
    for one in known:
        if not one.name.startswith("hf-hub:"):
            with torch.device("meta"):
                model = open_clip.create_model(one.name.rsplit("/", 1)[0], device="meta")
            counts[one.name.rsplit("/", 1)[0]] = sum(p.numel() for p in model.parameters())
            assert one.parameters == counts[one.name.rsplit("/", 1)[0]], one.name
    for one in known:
        if one.name.startswith("hf-hub:"):
            parts = [a for a in ("ViT-B-32", "ViT-B-16") if a in one.name] or ["ViT-L-14"]
            assert one.parameters == counts[parts[0]], one.name


def test_a_registry_that_can_t_be_read(tmp_path):
    path = tmp_path / "r.toml"
    entry = '[[checkpoint]]\nname="a"\nfamily="vqgan"\ngood_for=""\nlicence=""\nformat=""\n'
    for text in ("[", "x = 1", entry, entry + "sources=[]", entry + 'sources=[{path="x"}]',
                 entry + 'sources=[{url="https://x"}]\nfoo=1'):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"r\.toml"):
            read_registry(path)


def test_a_server_that_rejects_every_resume_is_given_up_in_one_line(server, tmp_path):
    with pytest.raises(WeightsError, match="refuses to go on from there"):
        fetch(checkpoint(server, "no-resume"), tmp_path)
    assert len(server.requests) <= 4
    assert fetch(checkpoint(server, "no-resume", "ok"), tmp_path).path.read_bytes() == DATA


def test_what_arrived_before_a_stall_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "_TIMEOUT", 0.5)
    assert fetch(checkpoint(server, "stall"), tmp_path).path.read_bytes() == DATA
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=1000-"]


def test_a_server_that_sends_a_little_each_time_is_given_up_in_one_line(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(http, "_ATTEMPTS", 3)
    with pytest.raises(WeightsError, match="broke off after"):
        fetch(checkpoint(server, "half"), tmp_path)

"""The server as a process: killed, stopped, started twice, and asked by eight at once."""

import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.studio.conftest import Server

pytestmark = [pytest.mark.slow, pytest.mark.needs("starlette", "uvicorn", "sse_starlette")]


def refused(*words, **env):
    """Exit code and stderr of a studio that does not start."""
    command = [sys.executable, "-m", "guidegen.cli", "studio", *map(str, words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    return found.returncode, found.stderr


def pixels(path):
    with Image.open(path) as image:
        return hashlib.sha256(image.tobytes()).hexdigest()


def test_killed_and_started_again_it_goes_on_to_the_same_pixels(tmp_path, settings):
    fields = {"prompt": "a red apple", "steps": 60, "seed": 3}
    whole = Server(tmp_path / "whole", settings)
    name = whole.post("/api/jobs", {"fields": fields})["id"]
    (run,) = whole.job(name)["runs"].values()
    wanted = pixels(whole.folder / run / "image.png")
    whole.stop()

    fail = {"GUIDEGEN_FAILPOINT": "step@33:1:kill"}
    server = Server(tmp_path / "killed", settings, **fail)
    name = server.post("/api/jobs", {"fields": fields})["id"]
    assert server.process.wait(120) == -9
    assert not (server.folder / run / "image.png").exists()
    server.env = {}
    server.start()
    job = server.job(name)
    assert job["runs"] == {"0": run}
    found = json.loads((server.folder / run / "run.json").read_text())
    assert found["resumed_at"] == [30]
    assert pixels(server.folder / run / "image.png") == wanted
    server.stop()


def test_what_does_not_start_says_why_in_one_line(tmp_path, server, settings):
    port = server.origin.rpartition(":")[2]
    code, err = refused("--out", tmp_path / "a", "--port", port)
    assert (code, err) == (
        2, f"guidegen: --port: {port} is taken by another program; name another, or 0 for any "
        "that is free\n",
    )  # fmt: skip
    code, err = refused("--out", server.folder, "--port", 0)
    assert code == 6
    assert err == (
        f"guidegen: a studio is open for {server.folder} already at {server.address}; use that "
        "one, or another folder\n"
    )
    (tmp_path / "file").write_text("")
    code, err = refused("--out", tmp_path / "file" / "b", "--port", 0)
    assert (code, err.count("\n")) == (6, 1)
    assert "can't write to" in err or "is a file" in err
    code, err = refused("--out", tmp_path / "c", "--listen", "no address")
    assert (code, err.count("\n")) == (2, 1)
    hidden = tmp_path / "hidden"  # as where the package is not installed
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: name != 'starlette' and find(name, *more) or None\n"
    )
    code, err = refused("--out", tmp_path / "d", PYTHONPATH=str(hidden))
    assert (code, err) == (
        2, "guidegen: the studio needs some packages: pip install 'guidegen[studio]'\n"
    )  # fmt: skip


def test_a_stopped_server_saves_what_it_draws_and_goes_on(tmp_path, settings):
    server = Server(tmp_path / "outputs", settings)
    fields = {"prompt": "a pear", "steps": 3000}
    name = server.post("/api/jobs", {"fields": fields})["id"]
    server.wait(lambda: server.get(f"/api/jobs/{name}")["live"]["candidates"])
    server.stop()
    assert server.process.returncode == 0
    (path,) = server.folder.glob("*/run.json")
    assert json.loads(path.read_text())["status"] == "interrupted"
    server.start()
    server.wait(lambda: server.get(f"/api/jobs/{name}")["live"]["candidates"])
    at = server.get(f"/api/jobs/{name}")["live"]["candidates"][0]["points"][0][0]
    assert at > 0
    server.post(f"/api/jobs/{name}/stop", {})
    assert server.job(name, "stopped")["runs"] == {"0": path.parent.name}
    server.stop()


def test_eight_at_once_all_finish_and_none_stalls(tmp_path, settings):
    """While any preview waits, each of the others changes a few times at most; prints seconds."""
    server = Server(tmp_path / "outputs", settings)
    before = memory(server.process.pid)
    names = [
        server.post("/api/jobs", {"fields": {"prompt": f"a thing {n}", "steps": 150, "seed": n}})[
            "id"
        ]
        for n in range(8)
    ]
    changed, versions, waits, together = {}, {}, [], 0
    previews, seen, overtaken = 0, {}, []  # changes of any preview; how many when one's own came
    end = time.monotonic() + 600
    while time.monotonic() < end:
        jobs = {job["id"]: job for job in server.get("/api/jobs")}
        running = [name for name in names if jobs[name]["state"] == "running"]
        together = max(together, len(running))
        for name in running:
            rows = server.get(f"/api/jobs/{name}")["live"]["candidates"]
            if rows and rows[0]["preview"] != versions.get(name):
                now = time.monotonic()
                waits.append(now - changed.get(name, now))
                overtaken.append((previews - seen.get(name, previews)) / 7)
                previews += 1
                seen[name] = previews
                versions[name], changed[name] = rows[0]["preview"], now
        if all(jobs[name]["state"] == "finished" for name in names):
            break
        time.sleep(0.1)
    states = [jobs[name]["state"] for name in names]
    grown = memory(server.process.pid) - before
    longest, usual = max(waits), statistics.median(waits)
    print(f"together {together}, longest wait {longest:.2f} s, usual {usual:.2f} s, ", end="")
    print(f"{max(overtaken):.1f} changes of each other; memory grew {grown >> 20} MiB")
    server.stop()
    assert states == ["finished"] * 8
    assert together == 8
    assert max(overtaken) <= 10
    assert grown < 3 << 30
    runs = [json.loads(path.read_text()) for path in server.folder.glob("*/run.json")]
    assert len(runs) == 8


def memory(pid):
    """Bytes that a process has in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_eight_together_draw_what_each_draws_alone(tmp_path, settings):
    server = Server(tmp_path / "outputs", settings)
    asks = [{"prompt": f"a thing {n % 4}", "steps": 20, "seed": n} for n in range(8)]
    names = [server.post("/api/jobs", {"fields": ask})["id"] for ask in asks]
    together = {}
    for name in names:
        (run,) = server.job(name, seconds=120)["runs"].values()
        together[run] = pixels(server.folder / run / "image.png")
        server.post("/api/trash", {"names": [run]})
    for run, ask in zip(together, asks, strict=True):
        name = server.post("/api/jobs", {"fields": ask})["id"]
        assert server.job(name)["runs"] == {"0": run}
        assert pixels(server.folder / run / "image.png") == together[run]
    server.stop()


def test_another_address_needs_the_token(tmp_path, settings):
    server = Server(tmp_path / "outputs", settings, "--listen", "127.0.0.1", "--token", "abc")
    assert server.address.endswith("/?token=abc")
    with socket.create_connection(
        (server.origin[7:].partition(":")[0], int(server.origin.rpartition(":")[2]))
    ) as raw:
        raw.sendall(b"GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert raw.makefile("rb").readline() == b"HTTP/1.1 401 Unauthorized\r\n"
    server.stop()


def test_a_path_that_is_not_normalised_leads_nowhere(server):
    """As a client sends it that does not tidy up the path."""
    host, port = server.origin[7:].split(":")
    for path in [
        "/api/file/../../etc/passwd",
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "//etc/passwd",
    ]:
        with socket.create_connection((host, int(port))) as raw:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            raw.sendall(head.encode())
            assert raw.makefile("rb").readline().split()[1] in (b"404", b"422"), path

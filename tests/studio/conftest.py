"""A studio on a port of its own, and headless Chromium that may talk to nobody else."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="session")
def settings(clip, tmp_path_factory):
    """A file of settings with which a step takes no time."""
    path = tmp_path_factory.mktemp("settings") / "quick.toml"
    path.write_text(
        f'generator = "pixels"\nsize = "32"\nsteps = 30\ncutouts = 2\nstarts = 1\ndevice = "cpu"\n'
        f'save_every = 5\nperceptor = ["local-dir:{clip}"]\n'
    )
    return path


class Server:
    """`guidegen studio` as a process of its own."""

    def __init__(self, folder, settings, *words, **env):
        self.folder, self.settings, self.words, self.env = folder, settings, words, env
        self.process = None
        self.start()

    def start(self, *more):
        command = [sys.executable, "-m", "guidegen.cli", "studio", "--out", self.folder]
        command += ["--port", "0", "--config", self.settings, *self.words, *more]
        self.log = self.folder.parent / f"{self.folder.name}-stderr.txt"
        env = {**os.environ, "OMP_NUM_THREADS": "1", **self.env}
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
            env=env,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address, self.log.read_text()
        return self

    @property
    def origin(self):
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"

    def get(self, path):
        with urllib.request.urlopen(self.origin + path, timeout=60) as answer:
            return json.loads(answer.read())

    def post(self, path, data):
        request = urllib.request.Request(
            self.origin + path, json.dumps(data).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def wait(self, ready, seconds=60):
        """What `ready` returns once that is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := ready():
                return found
            time.sleep(0.05)
        raise AssertionError("it never came")

    def job(self, name, state="finished", seconds=60):
        """A job once it is in a state."""

        def ready():
            job = self.get(f"/api/jobs/{name}")
            assert job["state"] != "failed" or state == "failed", job["why"]
            return job if job["state"] == state else None

        return self.wait(ready, seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.kill()
                raise


def until(page, expression, seconds=60):
    """Wait until an expression is true in a page; its policy lets playwright's own wait not."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def server(tmp_path_factory, settings):
    server = Server(tmp_path_factory.mktemp("studio") / "outputs", settings)
    yield server
    server.stop()


@pytest.fixture
def open_page(browser):
    """Opens a page of its own browser context; at the end there was no trouble in any."""
    contexts, trouble = [], []

    def opened(address, **options):
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda said: note(said) if said.type == "error" else None)
        page.on("request", lambda asked: check(asked.url))
        page.goto(address)
        return page

    def note(said):
        if "status of 422" not in said.text:  # a refusal, which the page shows
            trouble.append(said.text)

    def check(url):
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            trouble.append(f"a request to {url}")

    yield opened
    for context in contexts:
        context.close()
    assert not trouble

"""An engine that draws plain squares at once, so that the command line is tested by itself."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import guidegen
from guidegen.cli.main import main
from guidegen.runs import metadata
from guidegen.runs.store import RunStore, check_writable, picture_path
from guidegen.utils.files import write_atomic


@dataclass(frozen=True)
class FakePicture:
    config: Any
    image: Any
    path: Path | None
    run: Any
    scores: dict[str, float]
    reused: bool = False
    status: str = "finished"
    ended: str = ""


class FakeEngine(ModuleType):
    """Writes real run directories; `before(index)` runs before each picture."""

    def __init__(self):
        super().__init__("guidegen.engine.generate")
        self.calls = []
        self.before = lambda index: None

    def generate(self, configs, *, stop=None, recorders=None, write=True, force=False):
        self.calls.append({"configs": list(configs), "force": force})
        if recorders:
            recorders(configs)
        for index, config in enumerate(configs):
            self.before(index)
            config = config.model_copy(update={"steps": config.steps or 60})
            image = Image.new("RGB", (32, 32), "red")
            check_writable(config.out)
            store = RunStore(config.out)
            found = None if force else store.find(config, config.digest())
            run = found or store.create(config, config.digest())
            scores = {"similarity": 0.25}
            data = metadata.save_png(image, config, scores=scores)
            path = run.write("image.png", data)
            copy = picture_path(config.out, config, index=index, total=len(configs), force=force)
            if copy:
                suffix = copy.suffix.lower()
                path = write_atomic(copy, metadata.encode(image, config, suffix, scores=scores))
            run.finish(scores)
            yield FakePicture(config, image, path, run, scores, reused=found is not None)


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setitem(sys.modules, "guidegen.engine.generate", fake)
    monkeypatch.setattr(guidegen, "engine", fake, raising=False)
    return fake


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call

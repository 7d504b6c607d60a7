"""`guidegen starts` and `--pick`."""

import json
import sys
from types import ModuleType

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.engine.begin.starts import Start


@pytest.fixture
def drawn(monkeypatch):
    """Two plain starts, without an engine; remembers what was asked for."""
    asked = []

    def draw_starts(config, count):
        asked.append((config, count))
        for number in range(1, count + 1):
            yield Start(number, Image.new("RGB", (16, 16), "red"), 2.0 / number, config)

    fake = ModuleType("guidegen.engine.begin.starts")
    fake.draw_starts = draw_starts
    monkeypatch.setitem(sys.modules, "guidegen.engine.begin.starts", fake)
    return asked


def test_a_numbered_sheet_is_written(run, drawn, tmp_path):
    result = run("starts", "a red apple", "-n", "3", "--seed", "7", "--size", "64")
    assert (result.code, result.out.strip()) == (0, "outputs/starts-a-red-apple-7.png")
    assert "--pick 3,2" in result.err
    with Image.open(tmp_path / "outputs/starts-a-red-apple-7.png") as sheet:
        assert sheet.getpixel((90, 90)) == (255, 0, 0)
    ((config, count),) = drawn
    assert (config.seed, config.size, count) == (7, "64", 3)


def test_json_has_a_line_for_each_start(run, drawn):
    lines = run("starts", "a", "-n", "2", "--json", "-o", "x.jpg").out.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert json.loads(lines[0])["sheet"] == "x.jpg"
    assert run("starts", "a", "-o", "x.jpg").err.startswith("guidegen: there is a file at x.jpg")
    assert run("starts", "a", "-o", "x.jpg", "--force").code == 0


def test_one_prompt_at_a_time(run, drawn):
    assert run("starts", "a cat", "a dog").code == 2
    assert drawn == []


def test_picks_are_pictures_of_one_prompt_and_seed(run, engine):
    assert run("a cat", "--seed", "5", "--pick", "7,3,7").code == 0
    configs = engine.calls[0]["configs"]
    assert [(config.seed, config.pick) for config in configs] == [(5, 7), (5, 3)]
    assert len({config.digest() for config in configs}) == 2
    without = make_config({"prompt": "a cat", "seed": 5})
    assert without.digest() not in {config.digest() for config in configs}


@pytest.mark.parametrize("text", ["0", "x", "3,", "16385", "-1", "1.5"])
def test_what_is_no_number_of_a_start_is_refused_in_one_line(run, engine, text):
    result = run("a cat", f"--pick={text}")
    assert result.code == 2
    assert "names no starts" in result.err
    assert engine.calls == []

"""What the pages say is so: links lead somewhere, and programs on them run."""

import doctest
import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import open_clip
import pytest

import guidegen
from guidegen import registry
from guidegen.clip.perceptor import load_perceptor
from guidegen.presets import PRESETS
from guidegen.weights.catalog import CLIP, read_registry
from tests.helpers.tiny_clip import MODEL, make_tiny_clip

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#[^)\s]*)?\)")
BLOCK = re.compile(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', re.S)


@pytest.mark.parametrize("page", sorted(set(PAGES)), ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    # code is no prose; an empty address is a place on the same page
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    missing = [link for link in LINK.findall(text) if link and not (page.parent / link).exists()]
    assert missing == []


def test_the_page_of_clips_has_every_clip_and_preset():
    lines = (ROOT / "docs" / "perceptors.md").read_text(encoding="utf-8").splitlines()
    for one in read_registry().checkpoints.values():
        if one.family == CLIP:
            size = one.size_text.replace("?", "")
            numbers = f"{one.parameters / 1e6:.0f} M"
            row = (f"`{one.name}`", one.side, numbers, size, one.good_for, one.licence)
            assert f"| {' | '.join(map(str, row))} |" in lines
    for name, settings in PRESETS.items():
        parts = " + ".join(f"`{clip}`" for clip in settings["perceptor"])
        assert f"| `{name}` | {parts} |" in lines


def test_the_page_of_commands_is_what_the_commands_say():
    script = ROOT / "docs" / "generate_cli.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def mosaic(tmp_path, monkeypatch):
    """The package of docs/generator.md, installed as pip would leave it."""
    text = (ROOT / "docs" / "generator.md").read_text(encoding="utf-8")
    files = {title: code for _, title, code in BLOCK.findall(text) if title}
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    site = tmp_path / "site"
    for name, code in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(code)
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    ((group, entries),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(site))
    yield sum(len(code.splitlines()) for name, code in files.items())
    for name in [name for name in sys.modules if name.startswith("guidegen_mosaic")]:
        del sys.modules[name]


def test_the_generator_of_the_page_is_found_and_draws(mosaic, tmp_path):
    backend, _ = registry.find("mosaic")
    assert "guidegen_mosaic.generator" not in sys.modules  # its card was enough so far
    clip = make_tiny_clip(tmp_path / "clip")
    pictures = [
        guidegen.generate(
            "a red apple", generator="mosaic", perceptor=f"local-dir:{clip}", device="cpu",
            size="48", steps=steps, cutouts=2, out=tmp_path / "outputs",
        ).image
        for steps in (0, 4)
    ]  # fmt: skip
    assert pictures[0].size == (48, 48)
    # a tile is 4 x 4 pixels of one colour
    assert len({pictures[1].getpixel((x, y)) for x in range(4) for y in range(4)}) == 1
    assert pictures[0].tobytes() != pictures[1].tobytes()  # gradients came through
    assert backend.variants[""].summary == "a mosaic of 12 x 12 tiles"


def test_the_generator_of_the_page_takes_a_screen_of_code(mosaic):
    assert mosaic < 50


def test_the_way_to_a_local_dir_makes_one(tmp_path):
    """With a small model of random weights: open_clip would fetch any other."""
    (tmp_path / "no-such-model.json").write_text(json.dumps(MODEL))
    open_clip.add_model_config(tmp_path / "no-such-model.json")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = [code for _, _, code in BLOCK.findall(text) if "get_model_preprocess_cfg" in code]
    code, changed = re.subn(
        r"(?m)^name, tag, folder = .*$",
        f'name, tag, folder = "no-such-model", None, pathlib.Path({str(tmp_path / "made")!r})',
        code,
    )
    assert changed == 1
    exec(compile(code, "README.md", "exec"), {})
    perceptor = load_perceptor(f"local-dir:{tmp_path / 'made'}", device="cpu", precision="fp32")
    assert perceptor.encode_text(["an apple"]).shape == (1, MODEL["embed_dim"])


def documented():
    """Modules with examples in their docstrings."""
    for folder in ("guidegen", "generators"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.M):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield name.removesuffix(".__init__")


@pytest.mark.parametrize("name", list(documented()))
def test_the_examples_in_docstrings_give_what_they_say(name):
    done = doctest.testmod(import_module(name))
    assert done.attempted > 0
    assert done.failed == 0

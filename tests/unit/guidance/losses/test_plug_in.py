"""A loss from another package: the example of docs/loss.md, installed beside guidegen."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from guidegen.cli.main import main
from guidegen.config import make_config
from guidegen.engine.generate import generate
from guidegen.errors import GuidegenError, UnknownNameError
from guidegen.registry import find_loss, losses
from tests.helpers.tiny_clip import make_tiny_clip

EXAMPLE = Path(__file__).parents[4] / "examples/guidegen-dark"


def install(package, site, **changes):
    """What pip writes of a package, from its pyproject.toml."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    folder = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(about)
    lines = []
    for group, entries in project["entry-points"].items():
        lines.append(f"[{group}]")
        lines += [f"{name} = {value}" for name, value in (entries | changes).items()]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(install(EXAMPLE, tmp_path / "site")))
    yield tmp_path / "site"
    for name in [name for name in sys.modules if name.startswith("guidegen_dark")]:
        del sys.modules[name]


def quick(tmp_path, **fields):
    clip = make_tiny_clip(tmp_path / "clip")
    settings = {"prompt": "a cat", "perceptor": f"local-dir:{clip}", "generator": "pixels"}
    settings |= {"size": 16, "steps": 3, "cutouts": 1, "lr": 0.05}
    return make_config(settings | fields)


def test_it_is_found_beside_ours(site):
    assert {"clip", "dark", "init", "prior", "tv"} <= set(losses())
    assert find_loss("dark").summary.startswith("lightness")
    with pytest.raises(UnknownNameError, match="no loss is called 'drak'; did you mean dark"):
        find_loss("drak")


@pytest.mark.slow
def test_it_guides_the_picture_and_is_in_the_record(site, tmp_path):
    plain = next(generate([quick(tmp_path)], write=False))
    out = tmp_path / "outputs"
    dark = next(generate([quick(tmp_path, loss="dark=10", out=out)]))
    lightness = [sum(picture.image.convert("L").tobytes()) / 256 for picture in (plain, dark)]
    assert lightness[1] < lightness[0] - 10
    lines = (dark.run.path / "steps.jsonl").read_text().splitlines()
    steps = [json.loads(line)["losses"] for line in lines]
    assert steps[-1]["dark"] < steps[0]["dark"] == pytest.approx(5, abs=0.2)
    for step in steps:
        parts = sum(value for name, value in step.items() if name != "total")
        assert step["total"] == pytest.approx(parts, abs=1e-5)


def test_a_name_that_is_not_installed_is_refused_before_any_work(capsys, tmp_path):
    with pytest.raises(UnknownNameError, match="no loss is called 'dark'"):
        next(generate([quick(tmp_path, loss="dark=10")], write=False))
    assert main(["a cat", "--loss", "tw=1", "-o", str(tmp_path / "x.png")]) == 4
    assert capsys.readouterr().err.strip().endswith("did you mean tv?")


def test_a_package_that_offers_no_card_or_another_name_harms_only_itself(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    wrong = {"dark": "guidegen_dark:__name__", "night": "guidegen_dark:DARK"}
    monkeypatch.syspath_prepend(str(install(EXAMPLE, tmp_path / "site", **wrong)))
    assert {"dark", "night"} & set(losses()) == set()
    with pytest.raises(GuidegenError, match=r"'dark' can't be used: .* is no .*LossInfo"):
        find_loss("dark")
    with pytest.raises(GuidegenError, match="its entry point is called 'night', itself 'dark'"):
        find_loss("night")


def test_finding_losses_loads_no_torch(site):
    code = "import sys; from guidegen.registry import losses; print(*losses()); "
    code += "sys.exit('torch' in sys.modules or 'guidegen_dark.loss' in sys.modules)"
    path = os.pathsep.join([str(site), str(EXAMPLE)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "dark" in done.stdout.split()

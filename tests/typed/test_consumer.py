"""Somebody's own program against the installed package, under a strict type checker."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".mypy_cache" / "consumer"
PROGRAMS = ("consumer.py", "misuse.py")

pytestmark = [pytest.mark.slow, pytest.mark.needs("mypy")]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """(file, line, code) of every error that mypy finds from a folder outside this repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in PROGRAMS:
        shutil.copy(HERE / name, folder)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={CACHE}",
         "--hide-error-context", *PROGRAMS],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr
    found = re.findall(r"^(.*?):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.M)
    assert done.stdout.count(": error: ") == len(found)
    return {(file, int(line), code) for file, line, code in found}


def test_a_program_that_uses_the_whole_surface_has_no_untyped_corner(complaints):
    assert {found for found in complaints if found[0] != "misuse.py"} == set()


def test_each_misuse_is_refused_for_its_own_reason(complaints):
    lines = (HERE / "misuse.py").read_text(encoding="utf-8").splitlines()
    wanted = {
        ("misuse.py", number, code)
        for number, line in enumerate(lines, 1)
        for code in re.findall(r"# refused: ([\w-]+)", line)
    }
    assert len(wanted) > 9
    assert {found for found in complaints if found[0] == "misuse.py"} == wanted

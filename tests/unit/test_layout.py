"""Folders that a newcomer finds their way in."""

import re
from pathlib import Path

import pytest

import generators
import guidegen

ROOT = Path(guidegen.__file__).parent
MOST = 12
# a file a command, and how the embedded models were made: no parts of the engine
FULLER = ("cli", "training")


def folders():
    for root in (ROOT, Path(generators.__file__).parent):
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            inner = folder.relative_to(root).parts
            if "__pycache__" not in inner and inner[:1] not in [(name,) for name in FULLER]:
                yield folder


def test_no_folder_of_the_engine_has_more_than_twelve_modules():
    modules = {
        folder: sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
        for folder in folders()
    }
    assert len(modules) > 20
    assert {folder: names for folder, names in modules.items() if len(names) > MOST} == {}


def test_no_file_of_the_engine_is_longer_than_three_hundred_lines():
    files = [path for folder in folders() for path in folder.glob("*.py")]
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {path: count for path, count in lines.items() if count > 300} == {}


@pytest.mark.parametrize("page", ["architecture.md", "guidance.md"])
def test_files_that_the_pages_name_are_there(page):
    text = (ROOT.parent / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:guidegen/)?([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text))
    missing = [
        name
        for name in named
        if not any((base / name).exists() for base in (ROOT, ROOT.parent, ROOT.parent / "docs"))
    ]
    assert missing == []

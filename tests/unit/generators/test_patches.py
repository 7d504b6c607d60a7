"""The collage's patches, read by several processes."""

import multiprocessing
import zipfile

import pytest
import torch

from generators.collage.patches import Atlas
from guidegen.errors import WeightsError
from guidegen.weights.store import embedded

PATCHES = embedded("collage") / "patches.zip"


def sums(atlas, indices):
    return [float(atlas._texture(index).sum()) for index in indices]


def test_a_fork_reads_right_while_its_parent_reads_on():
    torch.set_num_threads(1)
    atlas = Atlas(PATCHES)
    indices = list(range(0, 120))
    wanted = sums(Atlas(PATCHES), indices)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        theirs = [pool.apply_async(sums, (atlas, indices)) for _ in range(2)]
        ours = sums(atlas, indices)
        found = [each.get(timeout=120) for each in theirs]
    assert ours == wanted
    assert found == [wanted, wanted]


def test_a_fork_opens_the_file_for_itself():
    atlas = Atlas(PATCHES)
    here = atlas._zip
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_opened_anew, (atlas, here.start_dir))
    assert atlas._zip is here


def _opened_anew(atlas, start):
    before = atlas._open[1]
    return atlas._zip is not before and atlas._zip.start_dir == start


def test_a_damaged_patch_is_one_line(tmp_path):
    with zipfile.ZipFile(PATCHES) as whole, zipfile.ZipFile(tmp_path / "p.zip", "w") as cut:
        cut.writestr("patches.jsonl", whole.read("patches.jsonl"))
        name = Atlas(PATCHES).records[0]["file"]
        cut.writestr(name, whole.read(name)[:50])
    with pytest.raises(WeightsError, match="patch 0 of .* is broken"):
        Atlas(tmp_path / "p.zip")._texture(0)

"""The collage's patches, read by several processes."""

import multiprocessing
import pickle
import zipfile

import pytest
import torch

from generators.collage.patches import Atlas
from guidegen.errors import WeightsError
from guidegen.weights.store import embedded

PATCHES = embedded("collage") / "patches.zip"


# a fork finds it here
SHARED = {}


def sums(indices):
    return [float(SHARED["atlas"]._texture(index).sum()) for index in indices]


@pytest.mark.slow
def test_a_fork_reads_right_while_its_parent_reads_on():
    torch.set_num_threads(1)
    SHARED["atlas"] = Atlas(PATCHES)
    indices = list(range(120))
    wanted = sums(indices)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        theirs = [pool.apply_async(sums, (indices,)) for _ in range(2)]
        ours = sums(indices)
        found = [each.get(timeout=120) for each in theirs]
    assert ours == wanted
    assert found == [wanted, wanted]


def test_it_can_be_sent_to_another_process():
    atlas = pickle.loads(pickle.dumps(Atlas(PATCHES)))
    assert atlas.records == Atlas(PATCHES).records


def test_a_damaged_patch_is_one_line(tmp_path):
    with zipfile.ZipFile(PATCHES) as whole, zipfile.ZipFile(tmp_path / "p.zip", "w") as cut:
        cut.writestr("patches.jsonl", whole.read("patches.jsonl"))
        name = Atlas(PATCHES).records[0]["file"]
        cut.writestr(name, whole.read(name)[:50])
    with pytest.raises(WeightsError, match=r"patch 0 of .* is broken"):
        Atlas(tmp_path / "p.zip")._texture(0)

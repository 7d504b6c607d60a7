"""Features on a Ray cluster: the same files as here, whatever dies."""

import json

import numpy as np
import pytest
from PIL import Image

from guidegen.batch.on_ray.cluster import Cluster
from guidegen.errors import ConfigError, GuidegenError
from guidegen.zero_shot.embed import parts, write_embeddings
from tests.helpers.tiny_clip import make_tiny_clip

pytestmark = [pytest.mark.ray, pytest.mark.needs("pyarrow")]
TWO = Cluster(workers=2, cores=1)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return f"local-dir:{make_tiny_clip(tmp_path_factory.mktemp('clip'))}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART", 3)
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        pixels = rng.integers(0, 255, (20 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "pictures" / "broken.png").write_bytes(b"nothing")
    return tmp_path / "pictures"


def files(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_the_files_are_those_that_one_process_writes_though_a_worker_dies(
    tmp_path, folder, spec, monkeypatch
):
    told = list(write_embeddings(tmp_path / "here", folder, ["a", "b"], perceptor=spec))
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", "part@1:1:kill")
    there = write_embeddings(tmp_path / "ray", folder, ["a", "b"], perceptor=spec, cluster=TWO)
    assert list(there) == told
    assert len(told) == 1
    assert files(tmp_path / "ray") == files(tmp_path / "here")
    assert sum(name.startswith("img_emb") for name in files(tmp_path / "ray")) == 4


def test_what_one_call_wrote_the_next_one_keeps(tmp_path, folder, spec):
    out = tmp_path / "out"
    list(write_embeddings(out, folder, perceptor=spec))
    whole = files(out)
    (out / "metadata" / "metadata_2.parquet").unlink()
    kept = (out / "img_emb" / "img_emb_0.npy").stat().st_mtime_ns
    list(write_embeddings(out, folder, perceptor=spec, cluster=TWO))
    assert files(out) == whole
    assert (out / "img_emb" / "img_emb_0.npy").stat().st_mtime_ns == kept


def test_what_goes_wrong_in_a_worker_is_one_line(tmp_path, folder, spec):
    with pytest.raises(GuidegenError) as raised:
        list(write_embeddings(tmp_path / "out", folder, perceptor="local-dir:none", cluster=TWO))
    assert "\n" not in str(raised.value)
    assert "no folder none" in str(raised.value)
    with pytest.raises(ConfigError, match="name a folder"):
        list(write_embeddings(tmp_path / "x.parquet", folder, perceptor=spec, cluster=TWO))
    assert json.dumps(list(tmp_path.glob("x.parquet*"))) == "[]"

"""Features as files, in the layouts that other programs read."""

import json
import sys

import numpy as np
import pytest
from safetensors import safe_open

import guidegen
from guidegen.errors import ConfigError
from guidegen.zero_shot.embed import features, parts, write_embeddings


def test_pictures_and_texts_are_unit_vectors_of_one_space(tmp_path, tiny, picture):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    found = guidegen.embed(tmp_path, ["a cat", "a dog"], perceptor=tiny)
    assert found.image.shape == (1, 16)
    assert found.text.shape == (2, 16)
    for rows in (found.image, found.text):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert "b.png can't be read" in found.errors[0]


def test_safetensors_come_with_a_line_for_each_row(tmp_path, tiny, picture):
    path = picture(tmp_path / "a.png")
    out = tmp_path / "deep" / "x.safetensors"
    assert list(write_embeddings(out, path, ["a cat"], perceptor=tiny)) == []
    wanted = guidegen.embed(path, ["a cat"], perceptor=tiny)
    with safe_open(out, "np") as file:
        assert np.array_equal(file.get_tensor("image"), wanted.image)
        assert np.array_equal(file.get_tensor("text"), wanted.text)
        assert file.metadata()["perceptor"] == tiny
    lines = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
    assert list(lines) == [{"kind": "image", "path": str(path)}, {"kind": "text", "text": "a cat"}]


def test_a_folder_has_the_layout_of_clip_retrieval_and_goes_on(
    tmp_path, tiny, picture, monkeypatch
):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parts, "PART", 2)
    paths = [picture(tmp_path / f"{name}.png", size=(32, 20 + i)) for i, name in enumerate("abc")]
    out = tmp_path / "out"
    list(write_embeddings(out, paths, ["a cat"], perceptor=tiny))
    table = parquet.read_table(out / "metadata" / "metadata_0.parquet")
    assert table.column("image_path").to_pylist() == [str(path) for path in paths[:2]]
    rows = np.load(out / "img_emb" / "img_emb_1.npy")
    assert rows.dtype == np.float16
    wanted = guidegen.embed(paths[2], perceptor=tiny)
    assert rows[0] == pytest.approx(wanted.image[0], abs=1e-3)
    assert np.load(out / "text_emb" / "text_emb_0.npy").shape == (1, 16)
    (out / "metadata" / "metadata_1.parquet").unlink()
    calls = []
    real = features.encode
    monkeypatch.setattr(features, "encode", lambda p, m: calls.extend(p) or real(p, m))
    list(write_embeddings(out, paths, ["a cat"], perceptor=tiny))
    assert calls == paths[2:]


def test_a_folder_with_the_features_of_other_pictures_is_refused(tmp_path, tiny, other, picture):
    pytest.importorskip("pyarrow")
    paths = [picture(tmp_path / f"{name}.png") for name in "ab"]
    out = tmp_path / "out"
    list(write_embeddings(out, paths, ["a"], perceptor=tiny))
    for pictures, texts, spec in (
        (paths[:1], ["a"], tiny), (paths, ["b"], tiny), (paths, ["a"], other),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="name another folder"):
            list(write_embeddings(out, pictures, texts, perceptor=spec))


def test_parquet_without_its_package_is_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'guidegen\[tool\]'"):
        list(write_embeddings(tmp_path / "x.parquet", texts=["a"]))
    with pytest.raises(ConfigError, match=r"name a \.safetensors"):
        list(write_embeddings(tmp_path / "x.csv", texts=["a"]))

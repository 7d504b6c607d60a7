import hashlib

import pytest

from guidegen.errors import WeightsError
from guidegen.weights.store import embedded, folder_digest, sha256_file


def test_sha256_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    assert sha256_file(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(WeightsError, match=r"none\.bin"):
        sha256_file(tmp_path / "none.bin")


def test_folder_digest_sees_names_and_contents_but_no_model_card(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "sub" / "b").write_bytes(b"2")
    first = folder_digest(tmp_path)
    (tmp_path / "README.md").write_text("card")
    (tmp_path / ".hidden").write_text("x")
    assert folder_digest(tmp_path) == first
    (tmp_path / "sub" / "b").write_bytes(b"3")
    second = folder_digest(tmp_path)
    assert second != first
    (tmp_path / "sub" / "b").rename(tmp_path / "sub" / "c")
    assert folder_digest(tmp_path) != second
    with pytest.raises(WeightsError, match="no folder"):
        folder_digest(tmp_path / "none")


def test_a_missing_embedded_model_tells_to_install_again():
    with pytest.raises(WeightsError, match="install it again"):
        embedded("no-such-model")

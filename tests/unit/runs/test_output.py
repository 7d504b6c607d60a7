"""Where pictures are written: each refusal in its exact words, each number that is taken."""

import os
from pathlib import Path

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.errors import OutputError
from guidegen.runs import metadata
from guidegen.runs.output import check_writable, is_picture, picture_path, runs_folder

CONFIG = make_config({"prompt": "a red apple", "seed": 7, "steps": 3})
PLAIN = Image.new("RGB", (8, 8))


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "x.jpg", "x.jpeg", "x.webp"])
def test_a_name_of_a_picture_is_one_unless_a_folder_has_it(tmp_path, name):
    out = tmp_path / name
    assert is_picture(out)
    assert runs_folder(out) == tmp_path / "outputs"
    out.mkdir()
    assert not is_picture(out)
    assert runs_folder(out) == out
    check_writable(out)
    assert os.listdir(out) == []


@pytest.mark.parametrize("suffix", [".avif", ".gif", ".bmp", ".tif", ".TIFF"])
def test_other_kinds_of_pictures_are_refused_unless_a_folder_has_the_name(tmp_path, suffix):
    out = tmp_path / f"x{suffix}"
    assert refused(out) == f"pictures are PNG, JPEG or WebP files; name {tmp_path / 'x.png'}"
    out.mkdir()
    check_writable(out)


def refused(out):
    with pytest.raises(OutputError) as caught:
        check_writable(out)
    assert caught.value.field == "out"
    return caught.value.parts[0][1]


def test_the_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file") == (
        f"{tmp_path / 'file'} is a file, not a folder; name another"
    )
    assert refused(Path("/proc")).startswith("can't write to /proc: ")
    assert refused(Path("a\0b")).endswith("null byte; name another")
    # of a picture, its own folder and that of its runs
    (tmp_path / "outputs").touch()
    assert refused(tmp_path / "x.png") == (
        f"{tmp_path / 'outputs'} is a file, not a folder; name another"
    )
    assert refused(tmp_path / "file" / "x.png") == (
        f"{tmp_path / 'file'} is a file, not a folder; name another"
    )
    assert sorted(os.listdir(tmp_path)) == ["file", "outputs"]


def test_several_pictures_are_numbered_from_one(tmp_path):
    out = tmp_path / "x.png"
    assert [picture_path(out, CONFIG, index=i, total=3).name for i in range(3)] == [
        "x-1.png", "x-2.png", "x-3.png",
    ]  # fmt: skip
    assert picture_path(out, CONFIG, index=1).name == "x.png"
    assert picture_path(out, CONFIG, total=2).name == "x-1.png"
    PLAIN.save(tmp_path / "x-1.png")
    assert picture_path(out, CONFIG, total=2).name == "x-1-2.png"


def test_only_the_same_bytes_are_taken_for_a_picture_without_metadata(tmp_path):
    out = tmp_path / "x.png"
    out.write_bytes(b"some bytes")
    assert picture_path(out, CONFIG, data=b"some bytes") == out
    assert picture_path(out, CONFIG, data=b"other byte").name == "x-2.png"
    assert picture_path(out, CONFIG, data=b"longer than some").name == "x-2.png"
    # a picture of other settings is never ours, even with the bytes that we'd write
    other = metadata.save_png(PLAIN, CONFIG.model_copy(update={"seed": 8}))
    out.write_bytes(other)
    assert picture_path(out, CONFIG, data=other).name == "x-2.png"


def test_the_name_of_a_folder_gets_no_copy(tmp_path):
    (tmp_path / "x.png").mkdir()
    assert picture_path(tmp_path / "x.png", CONFIG) is None
    assert picture_path(tmp_path / "new", CONFIG, index=1, total=2) is None

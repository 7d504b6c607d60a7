import zipfile

import numpy as np
import pytest
from PIL import Image

from guidegen.errors import DataError
from guidegen.training.data.dataset import CaptionedImages


@pytest.fixture
def zipped(shapes, tmp_path):
    archive = tmp_path / "shapes.zip"
    with zipfile.ZipFile(archive, "w") as z:
        for path in shapes.rglob("*"):
            if path.is_file():
                z.write(path, path.relative_to(shapes))
    return archive


def test_folder_and_zip_read_alike(shapes, zipped):
    folder, archive = CaptionedImages(shapes), CaptionedImages(zipped)
    assert folder.records == archive.records
    assert len(folder) == 20
    np.testing.assert_array_equal(folder.images(32), archive.images(32))


def test_pictures_read_at_once_are_those_read_one_by_one_in_their_order(zipped):
    data = CaptionedImages(zipped)
    wanted = data.records[::-1] * 8
    alone = np.stack([data.image(record, 24) for record in wanted])
    np.testing.assert_array_equal(data.images(24, iter(wanted)), alone)


def test_a_broken_picture_among_many_is_named(shapes):
    data = CaptionedImages(shapes)
    (shapes / data.records[7].file).write_bytes(b"no picture")
    with pytest.raises(DataError, match=data.records[7].file):
        data.images(24)


def test_fields_and_pixels(shapes):
    data = CaptionedImages(shapes, split="train")
    record = next(r for r in data if r.caption == "blue square")
    assert record.keywords == ("square", "shape")
    assert record.colors == (("blue", 0.9),)
    assert record.concept == "blue-square"
    picture = data.image(record)
    assert picture.shape == (32, 32, 4)
    assert picture[16, 16].tolist() == [20, 20, 220, 255]
    assert picture[0, 0, 3] == 0


def test_pairs_of_image_and_text(tmp_path):
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("  A red\n rectangle \n")
    Image.new("RGB", (8, 8)).save(tmp_path / "uncaptioned.png")
    data = CaptionedImages(tmp_path)
    (record,) = data.records
    assert record.caption == "A red rectangle"
    assert (record.concept, record.split) == ("a-red-rectangle", "train")
    picture = data.image(record, 20)
    assert picture.shape == (20, 20, 4)
    assert picture[10, 10].tolist() == [255, 0, 0, 255]
    assert picture[1, 10, 3] == 0  # padded to a square with transparency


def test_a_bad_line_is_named(shapes):
    path = shapes / "captions.jsonl"
    path.write_text(path.read_text() + '\n{"file": "x.png"}\n')
    with pytest.raises(DataError, match="line 21"):
        CaptionedImages(shapes)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="neither"):
        CaptionedImages(tmp_path / "missing")
    with pytest.raises(DataError, match="no captioned images"):
        CaptionedImages(tmp_path)


def test_a_broken_picture_is_named(shapes):
    data = CaptionedImages(shapes)
    (shapes / data.records[0].file).write_bytes(b"no picture")
    with pytest.raises(DataError, match="train-red-circle"):
        data.image(data.records[0])
